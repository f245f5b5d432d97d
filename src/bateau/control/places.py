"""Where each environment of the specs runs: on this machine, or on which clusters. Pure: no cluster is asked.

Called by control.path and ui.pages.machines_page.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from bateau.domain.spec import Spec
from bateau.hydrate import context
from bateau.kit.json_value import text_at
from bateau.kit.position import Position


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterPlace:
    """A cluster, and how whoever asks reaches it. `position` is None if it has no document."""

    name: str
    context: str
    kubeconfig: str | None = None
    in_cluster: bool = False
    position: Position | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class EnvironmentPlace:
    """An environment. Without clusters it runs on one machine."""

    name: str
    position: Position
    clusters: tuple[ClusterPlace, ...] = ()
    namespace: str | None = None


def places_of(specs: Sequence[Spec]) -> tuple[EnvironmentPlace, ...]:
    """Return the places of all environments, in the order of the specs."""
    environments = {spec.name: spec for spec in specs if spec.kind == "Environment"}
    clusters = {spec.name: spec for spec in specs if spec.kind == "Cluster"}
    found: list[EnvironmentPlace] = []
    for name, spec in environments.items():
        at, _ = context(name, environments, {})
        found.append(
            EnvironmentPlace(
                name=name,
                position=spec.position,
                clusters=tuple(_cluster(each, clusters.get(each)) for each in at.clusters),
                namespace=str(at.namespace.value) if at.namespace else None,
            )
        )
    return tuple(found)


def _cluster(name: str, spec: Spec | None) -> ClusterPlace:
    if spec is None:
        return ClusterPlace(name=name, context=name)
    return ClusterPlace(
        name=name,
        context=text_at(spec.fields, "context") or name,
        kubeconfig=text_at(spec.fields, "kubeconfig") or None,
        in_cluster=spec.fields.get("inCluster") is True,
        position=spec.position,
    )
