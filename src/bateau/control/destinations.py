"""Find the clusters that an environment runs on, and make the units that go there.

Called by cli, control.bundle, control.bundled, control.declared and wiring. Pure.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal

from bateau.control.delivery import Rendered
from bateau.domain.manifest import Manifest
from bateau.domain.offers import Offers
from bateau.domain.unit import Objects, Unit
from bateau.domain.workload import ServiceKey
from bateau.hydrate import Context, context
from bateau.kit.json_value import object_at
from bateau.kit.schema import build
from bateau.plan import autoscaled
from bateau.specs import Reading
from bateau.specs.kinds.cluster import ClusterSpec
from bateau.specs.kinds.environment import EnvironmentSpec, HealthCheck


@dataclass(frozen=True, slots=True, kw_only=True)
class Destination:
    """A cluster of an environment, and the namespace of services whose documents name none.

    `drift` says what is done with fields that someone else has changed; `health_checks` judge third-party kinds.
    `offers` are its accelerators, None if the cluster was not asked.
    """

    name: str
    spec: ClusterSpec
    namespace: str = "default"
    drift: Literal["repair", "report"] = "report"
    health_checks: tuple[HealthCheck, ...] = ()
    offers: Offers | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What an environment says about every cluster that it runs on; `drift` is None if it says nothing about that."""

    namespace: str
    drift: Literal["repair", "report"] | None
    health_checks: tuple[HealthCheck, ...]


def terms_of(reading: Reading, environment: str | None, *, namespace: str | None = None) -> Terms:
    """Return the terms of an environment. `namespace` overrides its own."""
    return _terms(_context_of(reading, environment, namespace))


def destinations(reading: Reading, environment: str | None, *, namespace: str | None = None) -> tuple[Destination, ...]:
    """Return the clusters of an environment, in its order; none if it runs on this machine.

    A cluster without a document is left out: reading has reported it.
    """
    clusters = {spec.name: spec for spec in reading.specs if spec.kind == "Cluster"}
    found = _context_of(reading, environment, namespace)
    terms = _terms(found)
    return tuple(
        Destination(
            name=name,
            spec=build(clusters[name].fields, ClusterSpec),
            namespace=terms.namespace,
            drift=terms.drift or "report",
            health_checks=terms.health_checks,
        )
        for name in found.clusters
        if name in clusters
    )


def _context_of(reading: Reading, environment: str | None, namespace: str | None) -> Context:
    environments = {spec.name: spec for spec in reading.specs if spec.kind == "Environment"}
    found, _ = context(environment, environments, {}, namespace)
    return found


def _terms(found: Context) -> Terms:
    chain = [build(spec.fields, EnvironmentSpec) for spec in found.chain]
    drifts: list[Literal["repair", "report"]] = [each.drift for each in chain if each.drift]
    return Terms(
        namespace=str(found.namespace.value) if found.namespace else "default",
        drift=drifts[-1] if drifts else None,
        health_checks=tuple(check for each in chain for check in each.health_check_exprs),
    )


def clusters_in(
    rendered: Rendered, environment: str | None, *, namespace: str | None = None
) -> tuple[Destination, ...]:
    """Return the clusters of the environment that was rendered."""
    return destinations(rendered.reading, environment, namespace=namespace) if rendered.reading else ()


def without_autoscaled(manifests: Iterable[Manifest]) -> tuple[Manifest, ...]:
    """Return manifests without the numbers of replicas that an autoscaler among them decides."""
    every = tuple(manifests)
    scaled = autoscaled(every)
    return tuple(_without_replicas(each) if scaled and each.key in scaled else each for each in every)


def _without_replicas(manifest: Manifest) -> Manifest:
    spec = {field: value for field, value in object_at(manifest.tree, "spec").items() if field != "replicas"}
    return replace(manifest, tree={**manifest.tree, "spec": spec})


def units_of(rendered: Rendered) -> tuple[Unit, ...]:
    """Return a unit for each service that has objects."""
    services = {each.key for each in rendered.written.release.services}
    return tuple(each for each in units_from(rendered.manifests) if each.key in services)


def units_from(manifests: Iterable[Manifest]) -> tuple[Unit, ...]:
    """Return a unit for each service that these objects belong to."""
    by_service: dict[str, list[Manifest]] = {}
    for each in without_autoscaled(manifests):
        if each.service is not None:
            by_service.setdefault(each.service, []).append(each)
    return tuple(
        Unit(key=ServiceKey(key), target="kubernetes", body=Objects(manifests=tuple(manifests)))
        for key, manifests in sorted(by_service.items())
    )
