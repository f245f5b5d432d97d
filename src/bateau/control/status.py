"""Turn the state of a control plane into the status that the faces print.

Called by wiring.local. Only reads the state of the control plane.

A service whose facts are unchanged keeps its status, as the same object: comparing and encoding it again costs nothing.

Invariant: an unknown value is None and is shown as unknown, never as zero or as OK. Held by
tests/control/test_fetches.py::test_what_is_not_known_of_a_pull_is_unknown_and_not_zero.
"""

import logging
import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from bateau import __version__
from bateau.control.loop import Control
from bateau.control.path import key_variable, model_source
from bateau.control.service_status import Facts, draining_of, ready_count, service_status, source_of, state_of
from bateau.domain.errors import BUG, bug
from bateau.domain.problem import Problem, Severity
from bateau.domain.replica import Replica, ReplicaState
from bateau.domain.status import AffinityStatus, Follows, ServiceState, ServiceStatus, Status
from bateau.domain.workload import ModelServer, Workload
from bateau.kit.latest import Latest
from bateau.kit.position import Position

logger = logging.getLogger(__name__)

_LEFT_ALONE = "not changed: no readable specs describe the desired state"
_UNSETTLED = (ServiceState.STARTING, ServiceState.PULLING, ServiceState.LEAVING)


def status(control: Control, *, instance: str, since: float, follows: Follows = "directory") -> Status:
    """Return the status of the whole instance. `follows` says where its desired state comes from."""
    by_service: dict[str, list[Replica]] = {}
    for replica in control.observed.replicas:
        by_service.setdefault(replica.service, []).append(replica)
    up_to_date = control.up_to_date
    now = _Now(
        control=control,
        left_alone=control.left_alone,
        addresses=control.addresses(),
        rejected=control.planes.observe().rejected,
        rolled_out=control.ready_services() if up_to_date else frozenset[str](),
        revisions=control.revisions(),
    )
    proxies = sorted(control.planes.proxies)
    gateway = _gateway(now, proxies, [each for key in proxies for each in by_service.pop(key, [])])
    latest, control.service_statuses = control.service_statuses, {}
    services: list[ServiceStatus] = []
    for service in control.release.services:
        if service.key in control.own.keys - by_service.keys() and not control.scaling.is_called(service.key):
            continue  # no author has written it, and nothing of it runs
        known = control.service_statuses[service.key] = latest.get(service.key) or Latest()
        services.append(_contained(now, service, by_service.pop(service.key, []), known))
    services += [_unwritten(now, key, found) for key, found in sorted(by_service.items())]
    written = control.desired.written
    warnings = control.outcome.placement.problems if control.outcome else ()
    settled = (
        control.desired.read_once
        and control.counts.turns > 0
        and (now.left_alone or up_to_date)
        and gateway.state not in _UNSETTLED
        and all(_is_settled(service, left_alone=now.left_alone) for service in services)
    )
    return Status(
        version=__version__,
        instance=instance,
        pid=os.getpid(),
        directory=control.ports.texts.place,
        follows=follows,
        environment=control.ports.environment,
        listen=control.ports.listen_url,
        remote=control.ports.remote_url,
        gateway=gateway,
        services=tuple(services),
        problems=(
            *(written.problems if written else ()),
            *warnings,
            *_held(control),
            *_keys_missing(control),
            *_left_alone(now),
            *_no_history(control),
            *_changed_files(control),
            *_unsupervised(control),
            *_site(control),
            *_unsaved(control),
            *_trouble(control),
        ),
        foreign=written.foreign if written else 0,
        since=since,
        settled=settled,
        accepted=control.desired.accepted,
        written=control.desired.written_digest,
        rolled_out=control.rolled_out,
        specs_rejected=written.wrong if written else False,
        filters=control.ports.filters,
    )


def _is_settled(service: ServiceStatus, *, left_alone: bool) -> bool:
    """Whether the state of a service will not change by itself.

    A ready service of an old revision is not settled, because it is about to be replaced.
    """
    if service.state in _UNSETTLED or service.draining:
        return False
    return left_alone or service.rolled_out or service.state is not ServiceState.READY or service.engine == "external"


@dataclass(frozen=True, kw_only=True)
class _Now:
    """The state that the status of every service needs, looked up once."""

    control: Control
    left_alone: bool
    addresses: Mapping[str, str]
    rejected: Mapping[str, str]
    rolled_out: Collection[str]
    revisions: Mapping[str, str]


def _held(control: Control) -> list[Problem]:
    """Return a warning for each service that was rolled back and therefore differs from its spec."""
    written = control.desired.written
    services = written.release.services if written else ()
    places: dict[str, Position] = {service.key: service.position for service in services}
    return [
        Problem(
            where=places.get(key),
            says=f"{key} was rolled back to revision {revision}: its current spec is not applied",
            hint="change its spec to end the rollback",
            severity=Severity.WARNING,
        )
        for key, revision in control.desired.held.items()
    ] + [
        Problem(
            where=places.get(key),
            says=f"{key} was rolled back, but runs its current spec because the rollback failed: {why}",
            hint="fix its spec, or roll it back to another revision",
            severity=Severity.WARNING,
        )
        for key, why in control.desired.not_held.items()
    ]


def _keys_missing(control: Control) -> list[Problem]:
    """Return a warning for each external service whose API key is not set: its provider will reject requests."""
    found: list[Problem] = []
    for service in control.release.services:
        name = key_variable(service)
        if name and control.ports.secret(name) is None:
            says = f"{service.key} has no API key: {name} is not set in the environment of the control plane"
            where = service.positions.get("spec.external.apiKeyEnv")
            found.append(Problem(where=where, says=says, severity=Severity.WARNING))
    return found


def _trouble(control: Control) -> list[Problem]:
    """Return the problems that stop the loop now, such as specs that cannot be read, or a full disk."""
    return [Problem(where=None, says=says) for says in control.troubles.says]


def _left_alone(now: _Now) -> list[Problem]:
    """Return a warning if replicas of an earlier control plane run, but no readable specs say if they should."""
    if not now.left_alone:
        return []
    hint = "fix the specs: they are applied as soon as they can be read. `bateau down` stops all services"
    return [Problem(where=None, says=f"running services are {_LEFT_ALONE}", hint=hint, severity=Severity.WARNING)]


def _no_history(control: Control) -> list[Problem]:
    """Return a warning if the history cannot be written, so that no rollback can return to the current state."""
    says = control.desired.history.trouble if control.ports.revisions else control.ports.no_history
    return [Problem(where=None, says=says, severity=Severity.WARNING)] if says else []


def _changed_files(control: Control) -> list[Problem]:
    """Name the services whose replicas run from a file that is no longer the same on disk."""
    changed: dict[str, set[tuple[str, str]]] = {}
    for replica in control.observed.replicas:
        if replica.changed_files and replica.pid is not None and not replica.draining:
            found = {(each.path, each.how) for each in replica.changed_files}
            changed.setdefault(replica.service, set()).update(found)
    return [
        Problem(
            where=service.position,
            says=f"{service.key} runs from a file that was {how} since it started: {path}",
            hint=f"run `bateau restart {service.name}` to run the file as it is now",
            severity=Severity.WARNING,
        )
        for service in control.release.services
        for path, how in sorted(changed.get(service.key, ()))
    ]


def _unsupervised(control: Control) -> list[Problem]:
    """Report the replicas whose state may be out of date, because a bug ended their last probe."""
    return [
        Problem(where=None, says=f"{replica.id}: {replica.reason}", severity=Severity.WARNING)
        for replica in control.observed.replicas
        if replica.state is ReplicaState.READY and (replica.reason or "").startswith(BUG)
    ]


def _site(control: Control) -> list[Problem]:
    """Report problems of the site itself, such as a full disk."""
    hint = "free some space; replicas continue, but a program that cannot write its log may fail"
    return [Problem(where=None, says=says, hint=hint, severity=Severity.WARNING) for says in control.observed.troubles]


def _unsaved(control: Control) -> list[Problem]:
    """Report why the state is not saved: the next control plane would start with an older one."""
    if control.saving.trouble is None:
        return []
    says = f"the state of this instance is not saved: {control.saving.trouble}"
    hint = "services continue, and it is saved as soon as that is possible; do not restart the control plane before"
    return [Problem(where=None, says=says, hint=hint, severity=Severity.WARNING)]


def _gateway(now: _Now, proxies: Sequence[str], replicas: list[Replica]) -> ServiceStatus:
    control = now.control
    state, reason = state_of(replicas, wanted=1)
    ours = {service.key for service in control.release.services}
    rejected = next((says for key, says in sorted(now.rejected.items()) if key not in ours), None)
    if rejected and state is ServiceState.READY:
        state, reason = ServiceState.DEGRADED, f"it continues with its previous configuration: {rejected}"
    elif now.left_alone and not replicas:
        state, reason = ServiceState.FAILED, "it starts as soon as the specs can be read"
    return ServiceStatus(
        service=proxies[0] if proxies else "gateway",
        state=state,
        reason=next(filter(None, map(control.observed.failures.get, proxies)), None) or reason,
        replicas_wanted=1,
        replicas_ready=ready_count(replicas),
        engine="envoy",
        address=control.ports.listen_url,
        replicas=tuple(replicas),
        rejected=rejected,
        revision=now.revisions.get(proxies[0]) if proxies else None,
    )


def _contained(now: _Now, service: Workload, replicas: list[Replica], known: Latest[ServiceStatus]) -> ServiceStatus:
    """Return the status of a service: the known one if no fact has changed. A bug leaves those of all others as is."""
    try:
        facts = _facts(now, service, replicas)
        return known.of(lambda: service_status(service, facts), same=(service,), equal=(facts,))
    except Exception as error:
        says = f"its status is not known: {bug(error)}; the log has the details"
        latest = now.control.snapshots.latest
        if latest is None or all(each.reason != says for each in latest.services):
            logger.error("%s: %s", service.key, says, exc_info=error)
        return ServiceStatus(
            service=service.key,
            state=ServiceState.DEGRADED if ready_count(replicas) else ServiceState.FAILED,
            reason=says,
            replicas_wanted=service.replicas,
            replicas_ready=ready_count(replicas),
            engine="unknown",
            replicas=tuple(replicas),
        )


def _facts(now: _Now, service: Workload, replicas: Sequence[Replica]) -> Facts:
    control, key = now.control, service.key
    outcome, source = control.outcome, source_of(service)
    unit = outcome.units.get(key) if outcome else None
    return Facts(
        replicas=tuple(replicas),
        unit_revision=unit.revision if unit else None,
        revision=now.revisions.get(key),
        rejected=now.rejected.get(key),
        blocked=control.why_blocked(service),
        pulling=_is_pulling(control, service),
        progress=control.fetches.progress.get(source or ""),
        address=now.addresses.get(key),
        capacity=outcome.placement.capacities.get(key) if outcome else None,
        task=control.task(key),
        rolled_out=key in now.rolled_out,
        reached=control.reach.of(source),
        asleep=key in control.scaling.asleep,
        scaled=control.scaling.says(key),
        affinity=_affinity(control, service),
    )


def _affinity(control: Control, service: Workload) -> AffinityStatus | None:
    if not isinstance(service.runs, ModelServer):
        return None
    return control.affinity.status(service.name, wanted=service.routing.affinity == "prefix")


def _is_pulling(control: Control, service: Workload) -> bool:
    source = model_source(service)
    return source is not None and control.fetches.is_fetching(source)


def _unwritten(now: _Now, key: str, replicas: list[Replica]) -> ServiceStatus:
    """Return the status of running replicas that are not in the release: they are leaving, unless specs are missing."""
    state, reason = ServiceState.LEAVING, "its document was deleted"
    if now.left_alone:
        state, reason = state_of(replicas, wanted=len(replicas))
        reason = reason or _LEFT_ALONE
    return ServiceStatus(
        service=key,
        state=state,
        reason=reason,
        replicas_wanted=len(replicas) if now.left_alone else 0,
        replicas_ready=ready_count(replicas),
        engine="process",
        replicas=tuple(replicas),
        draining=draining_of(replicas),
    )
