"""Turn services and their replicas into the one endpoint model that all planes are fed from.

Called by control.app_ports, control.cluster_traffic and control.current_traffic. It runs after every change. Pure.

Invariant: only ready replicas get requests. A replica that drains, or whose probes fail, stays in the list with a mark,
so that its requests in flight are still counted. Held by tests/control/test_replicas.py.
Invariant: a bug with one service leaves its previous backends, and changes those of no other. Held by
tests/control/test_contained.py::test_a_bug_with_the_endpoints_of_one_service_is_reported_there.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from bateau.control.scaling import Sleep
from bateau.domain.endpoint import Backend, Endpoint, ExternalTarget, Proxy, Traffic
from bateau.domain.model_file import ModelFile
from bateau.domain.release import Release
from bateau.domain.replica import Replica, ReplicaState
from bateau.domain.workload import External, Limits, ModelServer, Scale, ServiceKey, Workload

# With the replicas of a model that falls asleep, in the cluster that they had.
_OF_MODELS = ("openai", "leaving")


def endpoints(
    release: Release,
    replicas: Sequence[Replica],
    *,
    app_ports: Mapping[str, int],
    api_keys: Mapping[str, str],
    files: Mapping[str, ModelFile],
    engine: str | None = None,
    before: Traffic,
    proxies: Collection[str],
    sleeps: Mapping[str, Sleep] | None = None,
    measure_load: bool = False,
    has_affinity: Callable[[str], bool] = lambda _: False,
) -> tuple[Traffic, Mapping[str, Exception]]:
    """Return the traffic, and the bugs for which services keep their previous backends, by service key.

    `proxies` are the keys of the services whose replicas are the planes' own processes.

    `app_ports` maps "app/shop/http" to the loopback port of its clients. `api_keys` has the secrets of external targets
    and `files` the files of models, both by service key. `engine` is that of models whose spec leaves the choice to the
    site. With None no engine is known, as on a cluster, whose gateway does not need it. `before` is the previous
    traffic. `sleeps` has the models that may sleep. With `measure_load`, the planes measure their load even if nothing
    drains. `has_affinity` returns whether a model whose spec asks for affinity has it now, by its name.
    """
    by_service: dict[str, list[Replica]] = {}
    for replica in replicas:
        if replica.state in (ReplicaState.READY, ReplicaState.UNREADY):
            by_service.setdefault(replica.service, []).append(replica)
    own = [replica for key in sorted(proxies) for replica in by_service.pop(key, [])]
    backends: list[Backend] = []
    failed: dict[str, Exception] = {}
    for service in release.services:
        listed = by_service.pop(service.key, [])
        try:
            found = [*_backends(service, listed, app_ports, api_keys.get(service.key))]
            if sleep := (sleeps or {}).get(service.key):
                found = [*_may_sleep(found, sleep, service.scale)]
        except Exception as error:  # noqa: BLE001 - the caller reports it
            failed[service.key] = error
            found = [each for each in before.backends if each.service == service.key]
        backends += _of_engine(found, service, engine, files.get(service.key))
    traffic = Traffic(
        backends=(*_with_affinity(_who_answer(backends), has_affinity), *_leaving(by_service, before)),
        proxies=tuple(map(_proxy, own)),
        measure_load=measure_load,
    )
    return traffic, failed


def _of_engine(
    backends: Sequence[Backend], service: Workload, chosen: str | None, file: ModelFile | None
) -> Iterator[Backend]:
    """Yield the backends of a service with its engine, and what its file says."""
    engine = service.runs.engine or chosen if chosen and isinstance(service.runs, ModelServer) else None
    task = file.header.task if file else None
    for backend in backends:
        yield replace(backend, engine=engine, task=task, file=file) if engine else backend


def _who_answer(backends: Sequence[Backend]) -> Iterator[Backend]:
    """Mark the models that others name to answer for them."""
    named = {name for each in backends for name in each.routing.others}
    for backend in backends:
        is_named = backend.protocol in _OF_MODELS and backend.name in named
        yield replace(backend, answers_for_others=True) if is_named else backend


def _with_affinity(backends: Iterable[Backend], has_affinity: Callable[[str], bool]) -> Iterator[Backend]:
    for backend in backends:
        wanted = backend.protocol == "openai" and backend.routing.affinity == "prefix"
        yield replace(backend, affinity=True) if wanted and has_affinity(backend.name) else backend


def _proxy(replica: Replica) -> Proxy:
    return Proxy(
        replica=replica.id,
        service=replica.service,
        address=replica.addresses.get("socket"),
        draining=replica.draining,
    )


def listen_key(service_key: str, port_name: str) -> str:
    """Return the name of one port of one app.

    >>> listen_key("app/shop", "http")
    'app/shop/http'
    """
    return f"{service_key}/{port_name}"


def _backends(
    service: Workload,
    listed: Sequence[Replica],
    app_ports: Mapping[str, int],
    api_key: str | None,
) -> Iterator[Backend]:
    runs = service.runs
    if isinstance(runs, External):
        external = ExternalTarget(url=runs.url, api_key=api_key)
        yield Backend(
            service=service.key,
            name=service.name,
            protocol="openai",
            external=external,
            upstream_model=runs.model,
            aliases=service.served_names,
            limits=service.limits or Limits(),
            routing=service.routing,
        )
        return
    for name, port in service.ports.items():
        if port.is_behind_front:
            endpoints = _endpoints(listed, None)
            yield Backend(
                service=service.key,
                name=service.name,
                protocol=port.protocol,
                endpoints=endpoints,
                aliases=service.served_names,
                requests_max=_requests_max(service),
                limits=service.limits or Limits(),
                routing=service.routing,
                reuses_connections=port.reuses_connections,
            )
        else:
            yield Backend(
                service=service.key,
                name=service.name,
                protocol=port.protocol,
                endpoints=_endpoints(listed, name),
                listen_port=app_ports.get(listen_key(service.key, name)),
                port_name=name,
                hosts=port.hosts,
                reuses_connections=port.reuses_connections,
            )


def _requests_max(service: Workload) -> int | None:
    """Return how many requests may be in flight or wait, by the queue of its spec.

    It does not depend on how many replicas run: a change of this number would replace the cluster.
    """
    scale = service.scale
    if scale is None or scale.queue is None or not isinstance(service.runs, ModelServer):
        return None
    return service.runs.parallel * max(1, scale.min, scale.max) + scale.queue.max


def _may_sleep(backends: Sequence[Backend], sleep: Sleep, scale: Scale | None) -> Iterator[Backend]:
    """Yield the backends of a model that may sleep: none with endpoints while it holds requests.

    Its replicas are listed under each generation that has sent them requests, so that these can be counted.
    """
    idle_after_s = scale.idle_after if scale and scale.min == 0 else None
    for backend in backends:
        held = () if sleep.hold else backend.endpoints
        yield replace(backend, generation=sleep.generation, idle_after_s=idle_after_s, hold=sleep.hold, endpoints=held)
        for generation in sleep.left if backend.endpoints else ():
            yield _left(backend, backend.endpoints, generation)


def _left(backend: Backend, endpoints: tuple[Endpoint, ...], generation: int | None) -> Backend:
    """Return the backend that gets no new requests, with the same cluster: another one would lose its counts."""
    return Backend(
        service=backend.service,
        name=backend.name,
        protocol="leaving",
        endpoints=endpoints,
        generation=generation,
        requests_max=backend.requests_max,
        reuses_connections=backend.reuses_connections,
        answers_for_others=backend.answers_for_others,
    )


def _leaving(by_service: Mapping[str, Sequence[Replica]], before: Traffic) -> Iterator[Backend]:
    """Yield backends for services whose document was deleted: their replicas are counted until they are drained.

    A deleted model gets no new requests. The port of an app stays open until its replicas are drained, because closing
    it would cut the requests in flight.
    """
    for key, found in sorted(by_service.items()):
        if gone := _endpoints([replica for replica in found if "socket" in replica.addresses], None):
            known = [each for each in before.backends if each.service == key and not each.port_name and not each.hold]
            unknown = Backend(service=key, name=ServiceKey(key).name, protocol="leaving")
            yield from (_left(each, gone, each.generation) for each in known or [unknown])
        for backend in before.backends:
            if backend.service == key and backend.port_name:
                yield replace(backend, endpoints=_endpoints(found, backend.port_name))


def _endpoints(listed: Sequence[Replica], port_name: str | None) -> tuple[Endpoint, ...]:
    found: list[Endpoint] = []
    for replica in listed:
        address = replica.addresses.get(port_name) if port_name else _model_address(replica)
        if address:
            marked = replica.draining or replica.state is ReplicaState.UNREADY
            found.append(Endpoint(replica=replica.id, address=address, zone=replica.zone, draining=marked))
    return tuple(found)


def _model_address(replica: Replica) -> str | None:
    return replica.addresses.get("socket") or replica.addresses.get("http")
