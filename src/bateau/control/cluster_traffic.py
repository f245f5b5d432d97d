"""Turn the models of a cluster's namespaces into the traffic of its gateways.

Called by wiring.controller and wiring.gateway_feed. Pure.

A model is served as "NAMESPACE/NAME", and as "NAME" if it is the oldest one of that name, so that a new model takes no
requests away from another. The same is true of its other names. Models of a repository have one namespace, "", and are
served by name only.

Invariant: a limit counts for all names of a model together, and other models that answer for it are those of its
namespace. Held by tests/control/test_cluster_traffic.py::test_limits_and_other_models_stay_in_the_namespace.
Invariant: a bug with one model leaves its routes as they were, and changes those of no other. Held by
tests/control/test_cluster_traffic.py.
Invariant: a model whose document has an error keeps its endpoints as long as its pods run. Held by
tests/control/test_cluster_traffic.py.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from bateau.control.endpoints import endpoints
from bateau.domain.endpoint import Backend, Endpoint, Traffic
from bateau.domain.release import Release
from bateau.domain.replica import Replica, ReplicaState
from bateau.domain.workload import External, ServiceKey

_HTTP: Final = "http"  # name of the port of a model's pods


@dataclass(frozen=True, kw_only=True)
class Space:
    """The services of one namespace: the release, the pods, and the models whose documents have errors.

    `since` has when each model was created, as text that sorts by time.
    """

    namespace: str
    release: Release
    replicas: tuple[Replica, ...]
    kept: Collection[str] = ()
    since: Mapping[str, str] = field(default_factory=dict[str, str])


def cluster_traffic(spaces: Iterable[Space], before: Traffic) -> tuple[Traffic, Mapping[str, Exception]]:
    """Return the traffic of all models, and the bugs for which a model stays as it was `before`, by service.

    External models whose API key would be needed are left out.
    """
    failed: dict[str, Exception] = {}
    found = [each for space in spaces for each in _models(space, failed)]
    holders = _holders((since, namespace, backend) for since, namespace, backend in found if namespace)
    backends = [_served(namespace, backend, holders) if namespace else backend for _, namespace, backend in found]
    taken = {each.name for each in backends}
    backends += [each for each in before.backends if each.service in failed and each.name not in taken]
    return Traffic(backends=tuple(sorted(backends, key=lambda each: each.name))), failed


def _holders(found: Iterable[tuple[str, str, Backend]]) -> Mapping[str, str]:
    """Return the namespace of the model that has a name without one: the oldest. Names of documents take precedence."""
    claims: dict[str, tuple[bool, str, str]] = {}
    for since, namespace, backend in found:
        for name in (backend.name, *backend.aliases):
            claim = (name != backend.name, since, namespace)
            claims[name] = min(claims.get(name, claim), claim)
    return {name: namespace for name, (_, _, namespace) in claims.items()}


def _served(namespace: str, backend: Backend, holders: Mapping[str, str]) -> Backend:
    """Return a model of a namespace with the names by which it is served. Engines know it by that of its document."""
    routing = backend.routing
    return replace(
        backend,
        name=f"{namespace}/{backend.name}",
        service=_service(backend.service, namespace),
        upstream_model=backend.upstream_model or backend.name,
        aliases=tuple(name for name in (backend.name, *backend.aliases) if holders[name] == namespace),
        routing=replace(
            routing,
            fallback=f"{namespace}/{routing.fallback}" if routing.fallback else None,
            split=tuple((f"{namespace}/{name}", percent) for name, percent in routing.split),
        ),
    )


def _service(key: str, namespace: str) -> str:
    """Return the key of a service among those of all namespaces."""
    return f"{key}.{namespace}" if namespace else key


def _models(space: Space, failed: dict[str, Exception]) -> Iterator[tuple[str, str, Backend]]:
    """Yield time, namespace and backend of each model. Bugs are added to `failed`."""
    made, bugs = endpoints(
        space.release, space.replicas, app_ports={}, api_keys={}, files={}, before=Traffic(), proxies=()
    )
    failed.update((_service(key, space.namespace), error) for key, error in bugs.items())
    needs_key = {
        each.key
        for each in space.release.services
        if isinstance(each.runs, External) and each.runs.api_key_variable is not None
    }
    for backend in made.backends:
        if backend.protocol == "openai" and backend.service not in needs_key:
            yield space.since.get(backend.service, ""), space.namespace, backend
    for key in sorted(space.kept):
        listed = [
            Endpoint(
                replica=each.id,
                address=each.addresses[_HTTP],
                zone=each.zone,
                draining=each.state is ReplicaState.UNREADY,
            )
            for each in space.replicas
            if each.service == key
            and _HTTP in each.addresses
            and each.state in (ReplicaState.READY, ReplicaState.UNREADY)
        ]
        if listed:
            backend = Backend(service=key, name=ServiceKey(key).name, protocol="openai", endpoints=tuple(listed))
            yield space.since.get(key, ""), space.namespace, backend
