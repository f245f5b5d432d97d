"""A workload for one kind of site, in the form that a runtime keeps running.

Made by render through control; kept by runtimes.

Invariant: two units with equal revisions are the same to a runtime: replacing one by the other restarts nothing. Held
by tests/ports/test_runtime.py::test_applying_the_same_again_changes_nothing.
"""

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import blake2b

import orjson

from bateau.domain.manifest import Manifest
from bateau.domain.process import ProcessTemplate
from bateau.domain.workload import ServiceKey


@dataclass(frozen=True, kw_only=True)
class Objects:
    """Kubernetes objects, in the order of their keys."""

    manifests: tuple[Manifest, ...] = ()

    @functools.cached_property
    def revision(self) -> str:
        """A digest of the objects."""
        digest = blake2b(digest_size=16)
        for manifest in self.manifests:
            digest.update(orjson.dumps(manifest.tree, option=orjson.OPT_SORT_KEYS | orjson.OPT_NON_STR_KEYS))
        return digest.hexdigest()


Body = ProcessTemplate | Objects


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """One workload for one target, and the number of replicas that a runtime keeps.

    `max_surge` is the number of replicas beyond `replicas` that may exist while one revision replaces another. With 0,
    the old replica stops before the new one starts, for a workload that cannot run twice.
    """

    key: ServiceKey
    target: str
    body: Body
    replicas: int = 1
    drain_timeout_s: float = 0.0
    max_surge: int = 1

    @property
    def revision(self) -> str:
        """The revision of the workload."""
        return self.body.revision


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """The address of a service for its clients: its URL, the origin of the URL, and the name of the model it serves.

    `ports` has the URL of each port by its name if there are several; `url` is that of the first.
    """

    url: str
    says: str
    model: str | None = None
    ports: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, kw_only=True)
class Whereabouts:
    """The addresses of a site's services: the namespace on a cluster; the endpoint and assigned ports on a machine.

    `ports` maps "app/shop/http" to a loopback port.
    """

    namespace: str = "default"
    models_url: str = ""
    ports: tuple[tuple[str, int], ...] = ()

    @functools.cached_property
    def numbers(self) -> Mapping[str, int]:
        """The ports, to look them up."""
        return dict(self.ports)
