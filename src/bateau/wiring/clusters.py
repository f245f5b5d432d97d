"""Plan, apply and observe an environment on its clusters.

Called by cli and wiring.
"""

import asyncio
import os
from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Final, TypeVar

from bateau.control.comparison import difference, taken
from bateau.control.deliveries import Deliveries, digests_of
from bateau.control.delivery import Rendered
from bateau.control.destinations import Destination, units_of, without_autoscaled
from bateau.control.drift import with_drift
from bateau.control.holding import Held, with_holds
from bateau.control.naming import service_named
from bateau.control.object_checks import CRD, Rules
from bateau.control.rollback import Hold
from bateau.control.rollout import Outcome, roll_out
from bateau.domain.change import Delivery, ObjectKey
from bateau.domain.errors import ClusterError, ControlError, ObjectRefused
from bateau.domain.manifest import Manifest
from bateau.domain.offers import Offers
from bateau.domain.problem import Problem, Severity
from bateau.domain.replica import ReplicaState
from bateau.domain.revision import Revision
from bateau.domain.unit import Unit
from bateau.domain.usage import Usage
from bateau.kit.json_value import JsonObject, ReadObject, object_at, text_at
from bateau.ports.runtime import Observed
from bateau.runtimes.kubernetes import Access, ApiServer, KubernetesRuntime, access_in_pod, access_of, kubeconfig_files
from bateau.runtimes.kubernetes.diagnosis import reports
from bateau.runtimes.kubernetes.health_checks import Check, DeclaredHealth
from bateau.runtimes.kubernetes.live import key_of
from bateau.runtimes.kubernetes.looking import look
from bateau.runtimes.kubernetes.offers import read_offers
from bateau.runtimes.kubernetes.present import present
from bateau.runtimes.kubernetes.usage import usage
from bateau.runtimes.kubernetes.wanted import named
from bateau.runtimes.kubernetes.watches import OwnWatches
from bateau.sources.git.identity import identity_of
from bateau.specs import read
from bateau.specs.kinds.environment import OBJECT_FIELDS, HealthCheck
from bateau.wiring.delivery import rendered_again, rules_of
from bateau.wiring.question import Question
from bateau.wiring.rolling_back import ClusterHistory, event, revision_of, service_at
from bateau.wiring.this_process import SystemClock

_LABEL_MAX: Final = 63
ROLLBACK_S: Final = 600.0
Answer = TypeVar("Answer")


@dataclass(frozen=True, kw_only=True)
class Rollout:
    """How to roll out: `told` gets every new state.

    With `force`, fields that another manager holds are taken over, of all objects or of these. With `others_stay`,
    services without a unit are not changed; otherwise they are removed.
    """

    timeout_s: float
    told: Callable[[Observed], None]
    force: bool | frozenset[ObjectKey] = False
    others_stay: bool = False


@dataclass(frozen=True, kw_only=True)
class RolledBack:
    """A service that is held at a revision of a cluster's history, and the end of its rollout."""

    service: str
    revision: Revision
    outcome: Outcome


async def on_each(
    places: Sequence[Destination], ask: Callable[[Destination], Awaitable[Answer]]
) -> Sequence[tuple[Destination, Answer | ClusterError]]:
    """Ask all clusters at once, and return their answers in the given order; a failure is the answer of its cluster."""

    async def one(place: Destination) -> Answer | ClusterError:
        try:
            return await ask(place)
        except ClusterError as error:
            return error

    return list(zip(places, await asyncio.gather(*map(one, places)), strict=True))


async def plans_on(
    question: Question, places: Sequence[Destination], made: Rendered, *, confirmed: int | None
) -> Sequence[Delivery]:
    """Return the changes that an apply makes, for each cluster. `confirmed` is the confirmed number of removals.

    A cluster that cannot be reached is reported in its plan.
    """
    reading = made.reading or read(made.texts)
    rules = rules_of(question)
    repository = await identity_of(question.directory, os.environ)

    async def one(place: Destination) -> Delivery:
        async with api_of(place) as api:
            history = await _history(api, question, place).read()
            held, offers = await _held(api, question, place, made, history)
            wanted = replace(held.made, manifests=tuple(map(named, without_autoscaled(held.made.manifests))))
            owner = owner_of(question, place)
            there = await present(api, wanted.manifests, owner=owner, namespace=place.namespace, repository=repository)
        side = f"cluster {place.name}"
        live = _without_defaults(there.objects, wanted.manifests, rules)
        observed = taken(live, side, reading, rules, environment=question.environment, variables=os.environ)
        found = difference(wanted, observed, environment=question.environment, confirmed=confirmed)
        new = there.new_namespaces
        problems = (*held.problems, *found.problems, *_unserved(there.unserved, wanted.manifests, side))
        found = replace(found, held=held.says, new_namespaces=new, problems=problems, offers=offers)
        return with_drift(found, there.holders, there.created, place.drift, added=there.added)

    return [
        Delivery(environment=question.environment, cluster=place.name, unreachable=_reason(answer))
        if isinstance(answer, ClusterError)
        else replace(answer, cluster=place.name)
        for place, answer in await on_each(places, one)
    ]


def _without_defaults(
    objects: Iterable[JsonObject | ReadObject], wanted: Sequence[Manifest], rules: Rules
) -> list[ReadObject]:
    """Return live objects without the fields that the CRDs of third-party kinds have filled in."""
    schemas = rules.schemas.with_crds(each.tree for each in wanted if each.group_kind == CRD)
    trees = {each.key: each.tree for each in wanted}
    return [schemas.without_defaults(each, trees.get(key_of(each), each)) for each in objects]


def _unserved(kinds: Iterable[tuple[str, str]], wanted: Sequence[Manifest], side: str) -> Iterator[Problem]:
    """Yield a warning for each kind that a cluster does not serve, and whose CRD is not applied with its objects."""
    specs = [object_at(each.tree, "spec") for each in wanted if each.group_kind == CRD]
    defined = {(text_at(spec, "group"), text_at(spec, "names", "kind")) for spec in specs}
    for version, kind in kinds:
        if (version.rpartition("/")[0], kind) not in defined:
            says = f"{side} does not serve {version} {kind}"
            yield Problem(where=None, says=says, hint="install its CRD first", severity=Severity.WARNING)


async def apply_on(question: Question, place: Destination, made: Rendered, *, rollout: Rollout) -> Outcome:
    """Apply an environment to a cluster, and wait until it is healthy.

    Services that a rollback holds are applied as they were in their revisions. Raises ClusterError if the kubeconfig
    names no usable cluster.
    """
    async with api_of(place) as api:
        history = _history(api, question, place)
        held, _ = await _held(api, question, place, made, await history.read())
        units = units_of(held.made)
        revision = await revision_of(question, made, held.pins, when_s=history.now_s())
        return await _rolled_out(api, question, place, units, history=history, added=revision, rollout=rollout)


async def _held(
    api: ApiServer, question: Question, place: Destination, made: Rendered, history: Deliveries
) -> tuple[Held, Offers | None]:
    """Return the specs for what a cluster offers, with the services that a rollback holds; and the offers, if needed.

    They are read unless the place has them. Raises ClusterError.
    """
    offers = place.offers
    # A held service may be older than the accelerators of the specs, and need one all the same.
    if offers is None and (made.needs_accelerators or history.holds):
        offers = await read_offers(api, namespace=place.namespace)
    asked = replace(question, offers=offers)
    if offers is not None and made.needs_accelerators:
        made = await asyncio.to_thread(rendered_again, asked, made)
    return await asyncio.to_thread(with_holds, made, history, partial(service_at, asked)), offers


async def roll_back_on(
    question: Question,
    place: Destination,
    made: Rendered,
    service: str,
    *,
    to: int | None,
    told: Callable[[Observed], None],
    timeout_s: float = ROLLBACK_S,
) -> RolledBack:
    """Hold a service at revision `to`, or at its last healthy one, and wait until it is healthy.

    Other services are not changed. Raises ClusterError, ControlError and the SourceError family.
    """
    key = service_named(service, made.written.release).key
    digests = digests_of(made)
    async with api_of(place) as api:
        history = _history(api, question, place)
        before = await history.read()
        revision = before.target(key, digests, to=to)
        asked = replace(question, offers=await read_offers(api, namespace=place.namespace))
        then = await asyncio.to_thread(service_at, asked, key, str(revision.commit))
        held = {name: hold for name, hold in before.lasting(digests).items() if name != key}
        if digests_of(then).get(key) != digests[key]:
            held[key] = Hold(revision.id, digests[key])
        elif key not in before.lasting(digests):
            raise ControlError(f"{key} is the same in revision {revision.id}: there is nothing to roll back")
        pins = {name: hold.revision for name, hold in held.items()}
        says = f"{key} was rolled back to revision {revision.id}"
        remark = await history.note(event(says, "rolled back"), holds=Deliveries(holds=held))
        if remark:  # without the hold, the next apply would undo the rollback
            raise ClusterError(remark, hint="nothing was changed; the rollback needs the right to write ConfigMaps")
        outcome = await _rolled_out(
            api,
            question,
            place,
            [unit for unit in units_of(then) if unit.key == key],
            history=history,
            added=await revision_of(question, made, pins, when_s=history.now_s()),
            rollout=Rollout(timeout_s=timeout_s, told=told, others_stay=True),
        )
        return RolledBack(service=key, revision=revision, outcome=outcome)


async def _rolled_out(
    api: ApiServer,
    question: Question,
    place: Destination,
    units: Sequence[Unit],
    *,
    history: ClusterHistory,
    added: Revision,
    rollout: Rollout,
) -> Outcome:
    """Roll units out, and record it."""
    clock = SystemClock()
    owner = owner_of(question, place)
    repository = await identity_of(question.directory, os.environ)
    # A person has seen the plan: what others hold is taken over only if they, or the environment, say so.
    runtime = KubernetesRuntime(
        api,
        clock,
        owner=owner,
        namespace=place.namespace,
        repository=repository,
        drift=place.drift,
        force=rollout.force,
        watches=OwnWatches(api, judge=judge_of(place.health_checks)),
    )
    try:
        before = await look(api, owner=owner, namespace=place.namespace)
        existing = {each.service for each in before.objects if each.service}
        outcome = await roll_out(
            runtime,
            units,
            clock,
            timeout_s=rollout.timeout_s,
            told=rollout.told,
            existing=existing,
            held=existing - {each.key for each in units} if rollout.others_stay else (),
        )
        if not outcome.done:
            outcome = replace(outcome, reports=await reports(api, outcome.observed, outcome.failed))
        says = "every service is healthy" if outcome.done else _failure(outcome)
        remark = await history.note(event(says, "healthy" if outcome.done else "failed"), added=added)
        return replace(outcome, remarks=[remark]) if remark else outcome
    finally:
        await runtime.close()


def _failure(outcome: Outcome) -> str:
    return outcome.unknown or "; ".join(f"{key}: {says}" for key, says in sorted(outcome.failed.items())[:3])


async def history_on(question: Question, place: Destination) -> Deliveries:
    """Return the revisions that were applied to a cluster. Raises ClusterError."""
    async with api_of(place) as api:
        return await _history(api, question, place).read()


def _history(api: ApiServer, question: Question, place: Destination) -> ClusterHistory:
    return ClusterHistory(api, owner_of(question, place), place.namespace, question.environment or "")


async def usage_on(question: Question, place: Destination) -> tuple[Usage, ...]:
    """Return the CPU and memory that the services of an environment use on a cluster. Raises ClusterError."""
    async with api_of(place) as api:
        seen = await look(api, owner=owner_of(question, place), namespace=place.namespace)
        return await usage(api, {each.id: each.service for each in seen.replicas if not each.draining})


async def observed_on(question: Question, place: Destination) -> Observed:
    """Return the current state of an environment on a cluster. Raises ClusterError."""
    async with api_of(place) as api:
        owner = owner_of(question, place)
        return await look(api, owner=owner, namespace=place.namespace, judge=judge_of(place.health_checks))


async def logs_on(
    question: Question, place: Destination, services: Collection[str], *, lines: int
) -> Mapping[str, str]:
    """Return the last lines of each pod of services, by pod. Raises ClusterError.

    The lines of a pod whose container has just died are those of the container before.
    """
    async with api_of(place) as api:
        seen = await look(api, owner=owner_of(question, place), namespace=place.namespace)
        found: dict[str, str] = {}
        for replica in seen.replicas:
            if replica.service in services:
                namespace, _, pod = replica.id.partition("/")
                previous = replica.state is ReplicaState.BACKOFF and replica.restarts > 0
                try:
                    text = await api.log(namespace, pod, lines=lines, previous=previous)
                except ObjectRefused as error:  # such as a container that has not started
                    text = error.message
                found[replica.id] = text or f"no output yet: {replica.reason or replica.state.value}"
        return found


def owner_of(question: Question, place: Destination) -> str:
    """Return the value of the label that says which objects are an environment's."""
    return owner_label(place.namespace, question.environment)


def owner_label(namespace: str, environment: str | None) -> str:
    """Return the owner of an environment's objects, in at most 63 characters.

    The namespace is in it, because the environments of two repositories may have one name. Where that is the same,
    too, the inventory tells them apart.
    """
    name = f"{namespace}.{environment or 'default'}"
    if len(name) <= _LABEL_MAX:
        return name
    return f"{name[: _LABEL_MAX - 11].rstrip('.-')}.{sha256(name.encode()).hexdigest()[:10]}"


def judge_of(health_checks: Iterable[HealthCheck]) -> DeclaredHealth:
    """Return the judge of an environment's objects."""
    checks = (
        Check(
            group=each.api_version.rpartition("/")[0],
            kind=each.kind,
            current=each.current,
            failed=each.failed,
            in_progress=each.in_progress,
        )
        for each in health_checks
    )
    return DeclaredHealth(checks, OBJECT_FIELDS)


def _reason(error: ClusterError) -> Problem:
    return Problem(where=None, says=error.message, hint=error.hint)


def api_of(place: Destination) -> ApiServer:
    """Return the API server of a cluster. Raises ClusterError if no kubeconfig leads to it."""
    return ApiServer(_access(place))


def _access(place: Destination) -> Access:
    if place.spec.in_cluster:
        return access_in_pod(os.environ)
    named = place.spec.kubeconfig
    files: Sequence[Path] = [Path(named).expanduser()] if named else kubeconfig_files(os.environ)
    return access_of(files, place.spec.context or place.name)
