"""The status of all services of a cluster, as the dashboard of its controller shows it.

Called by wiring. Pure.

Services of namespaces are named NAMESPACE.NAME, because two namespaces may have the same. Those of a followed
environment have their own names.

Invariant: a service is Ready only if its conditions say so; one that cannot be read is Unknown. Held by
tests/control/test_cluster_status.py::test_what_cannot_be_read_is_unknown.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Final

from bateau.control.conditions import Verdict, verdict
from bateau.control.declared import Declared
from bateau.control.rollout import parts_of, service_state
from bateau.control.service_status import engine_of
from bateau.domain.problem import Problem, Severity
from bateau.domain.release import Release
from bateau.domain.replica import Replica, ReplicaState
from bateau.domain.status import ServiceState, ServiceStatus, Status
from bateau.domain.workload import ServiceKey, Workload
from bateau.ports.runtime import Observed

_RUNS: Final = (ReplicaState.READY, ReplicaState.DONE)
_STATES: Final = {
    "NotReconciled": ServiceState.UNKNOWN,
    "NotObserved": ServiceState.UNKNOWN,
    "NotOnThisCluster": ServiceState.ELSEWHERE,
    "Refused": ServiceState.FAILED,
    "Failed": ServiceState.FAILED,
    "Degraded": ServiceState.DEGRADED,
    "Progressing": ServiceState.STARTING,
}


@dataclass(frozen=True, kw_only=True)
class Namespace:
    """The services of a namespace, or with the name "" those of a followed environment.

    `trouble` is why its documents cannot be read or rendered, if they cannot.
    """

    name: str
    declared: Declared | None
    seen: Observed
    trouble: str | None = None


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What a status says beside the services. `gateways` are connected; None: the controller has none.

    `unreachable` is why the cluster cannot be reached, None if it can.
    """

    version: str
    cluster: str
    source: str
    environment: str | None
    endpoint: str
    gateways: int | None
    pid: int
    since: float
    unreachable: str | None = None


def shown_key(namespace: str, key: str) -> ServiceKey:
    """Return the key of a service on the dashboard.

    >>> shown_key("shop", "model/chat"), shown_key("", "model/chat")
    ('model/shop.chat', 'model/chat')
    """
    kind, _, name = key.partition("/")
    return ServiceKey(f"{kind}/{namespace}.{name}" if namespace else key)


def cluster_release(namespaces: Iterable[Namespace]) -> Release:
    """Return the desired services of all namespaces."""
    return Release(services=tuple(sorted(_workloads(namespaces), key=lambda each: each.key)))


def cluster_status(namespaces: Iterable[Namespace], facts: Facts) -> Status:
    """Return the status of all services."""
    known = [*namespaces]
    services = sorted((each for one in known for each in _services(one)), key=lambda each: each.service)
    wrong = [*_problems(known)]
    away = f"the cluster {facts.cluster} cannot be reached: {facts.unreachable}" if facts.unreachable else None
    problems = [*([Problem(where=None, says=away, severity=Severity.ERROR)] if away else []), *wrong]
    is_settled = all(each.state not in (ServiceState.STARTING, ServiceState.UNKNOWN) for each in services)
    return Status(
        version=facts.version,
        instance=facts.cluster,
        pid=facts.pid,
        directory=facts.source,
        follows="applied" if facts.environment is None else "repository",
        environment=facts.environment,
        listen=facts.endpoint,
        gateway=_gateway(facts),
        services=tuple(services),
        problems=tuple(problems),
        foreign=0,
        since=facts.since,
        settled=is_settled,
        accepted=not wrong,
        written=None,
        rolled_out=all(each.rolled_out for each in services),
        specs_rejected=bool(wrong),
    )


def _workloads(namespaces: Iterable[Namespace]) -> Iterator[Workload]:
    for one in namespaces:
        for each in one.declared.release.services if one.declared else ():
            uses = tuple(shown_key(one.name, key) for key in each.uses)
            yield replace(each, key=shown_key(one.name, each.key), uses=uses)


def _services(one: Namespace) -> Iterator[ServiceStatus]:
    parts, declared = parts_of(one.seen), one.declared
    workloads = {each.key: each for each in declared.release.services} if declared else {}
    named = {*declared.refused, *declared.elsewhere, *(unit.key for unit in declared.units)} if declared else set[str]()
    for key in sorted(named | parts.keys() | workloads.keys()):
        part = parts.get(key, Observed(unknown=one.seen.unknown))
        yield _service(one, ServiceKey(key), part, workloads.get(ServiceKey(key)))


def _service(one: Namespace, key: ServiceKey, part: Observed, workload: Workload | None) -> ServiceStatus:
    found = verdict(key, one.declared, part, trouble=one.trouble)
    replicas = [each for each in part.replicas if not each.draining]
    shown = shown_key(one.name, key)
    state = _STATES.get(found.reason) or service_state(part, key)
    return ServiceStatus(
        service=shown,
        state=state,
        reason=_reason(found),
        replicas_wanted=max(workload.replicas if workload else 0, len(replicas)),
        replicas_ready=sum(each.state in _RUNS for each in replicas),
        engine=engine_of(workload) if workload else "unknown",
        task="generate" if workload and workload.is_named_in_bodies else None,
        replicas=tuple(_replica(each, shown) for each in part.replicas),
        draining=tuple(each.id for each in part.replicas if each.draining),
        rolled_out=found.reason == "Healthy",
    )


def _reason(found: Verdict) -> str | None:
    """Return why a service is not as it should be; the count of replicas is shown anyway."""
    return None if found.reason == "Healthy" and found.degraded == "False" else found.message


def _replica(each: Replica, service: ServiceKey) -> Replica:
    return replace(each, service=service)


def _problems(namespaces: Iterable[Namespace]) -> Iterator[Problem]:
    for one in namespaces:
        place = f"namespace {one.name}: " if one.name else ""
        wrong = one.trouble or (one.declared.wrong if one.declared else None)
        if wrong:
            yield Problem(where=None, says=f"{place}{wrong}", severity=Severity.ERROR)
        for key, says in sorted(one.declared.refused.items()) if one.declared else ():
            yield Problem(where=None, says=f"{place}{key}: {says}", severity=Severity.ERROR)


def _gateway(facts: Facts) -> ServiceStatus:
    number = facts.gateways or 0
    state = ServiceState.STOPPED if facts.gateways is None else ServiceState.READY if number else ServiceState.STARTING
    reasons = {
        ServiceState.STOPPED: "this controller has no gateways",
        ServiceState.STARTING: "no gateway is connected to the controller",
    }
    return ServiceStatus(
        service="gateway/envoy",
        state=state,
        reason=reasons.get(state),
        replicas_wanted=number,
        replicas_ready=number,
        engine="envoy",
        address=facts.endpoint,
        rolled_out=bool(number),
    )
