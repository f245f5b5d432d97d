"""What a workload becomes on one kind of site: what a runtime is told to keep.

Made by render through control; carried out by runtimes.

Invariant: two units with equal revisions are the same to a runtime: nothing restarts from one to the other. Held by
tests/ports/test_runtime.py::test_applying_the_same_again_changes_nothing.
"""

import functools
from dataclasses import dataclass

from bateau.domain.manifest import Manifest
from bateau.domain.process import ProcessTemplate
from bateau.domain.workload import ServiceKey


@dataclass(frozen=True, kw_only=True)
class Objects:
    """Kubernetes objects, in the order of their keys."""

    manifests: tuple[Manifest, ...] = ()

    @functools.cached_property
    def revision(self) -> str:
        """Which objects they are; what is in them a runtime compares field by field."""
        return ",".join("/".join(manifest.key) for manifest in self.manifests)


Body = ProcessTemplate | Objects


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """One workload for one target, and how many replicas of it a runtime keeps.

    `max_surge` is how many replicas beyond `replicas` there may be while a revision replaces another; 0 stops the old
    before the new is started, for what cannot run twice.
    """

    key: ServiceKey
    target: str
    body: Body
    replicas: int = 1
    drain_timeout_s: float = 0.0
    max_surge: int = 1

    @property
    def revision(self) -> str:
        """Which revision of the workload it is."""
        return self.body.revision


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """Where users of a service call it: the URL, its origin in words, and the model's name where it serves one."""

    url: str
    says: str
    model: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Whereabouts:
    """Where a site's services are called: the namespace on a cluster; on a machine the endpoint and handed-out ports.

    `ports` maps "app/shop/http" to a loopback port.
    """

    namespace: str = "default"
    models_url: str = ""
    ports: tuple[tuple[str, int], ...] = ()
