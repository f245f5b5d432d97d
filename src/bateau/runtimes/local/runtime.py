"""Run units as replicas on this machine: start, drain and stop them in the right order.

Called by wiring.local. control uses it through ports.runtime. Hands each replica to a keeper, which restarts and probes
it.

Invariant: no method waits: a start or a stop is a task whose end is observed. Held by tests/ports/test_runtime.py.
Invariant: a failure of one unit, expected or a bug, is reported with its reason, retried after a back-off, and does not
affect other units. Held by tests/ports/test_runtime.py and tests/control/test_contained.py.
"""

import asyncio
import logging
from collections.abc import Callable, Collection, Coroutine, Mapping, Sequence
from dataclasses import dataclass, replace

from bateau.domain.endpoint import PlaneState
from bateau.domain.errors import BateauError, bug
from bateau.domain.process import ProcessTemplate
from bateau.domain.replica import ReplicaState
from bateau.domain.unit import Unit
from bateau.kit.backoff import Backoff
from bateau.kit.latest import Latest
from bateau.ports.clock import Clock
from bateau.ports.keeper import Keeper
from bateau.ports.runtime import Observed
from bateau.runtimes.local.drains import Drains
from bateau.runtimes.local.rolling import next_steps
from bateau.runtimes.local.steps import Desired, Step

log = logging.getLogger(__name__)

DRAIN_LOOK_S = 0.5
_RETRY = Backoff(initial_s=1.0, ceiling_s=60.0)


@dataclass(frozen=True, slots=True)
class _Failure:
    """The reason why a step failed, the number of failures in a row, and the time of the retry in monotonic seconds."""

    says: str
    times: int
    retry_at: float
    revision: str


class LocalRuntime:
    """The runtime of one machine; satisfies `bateau.ports.runtime.Runtime`."""

    name = "local"

    def __init__(self, keeper: Keeper, clock: Clock) -> None:
        self._keeper = keeper
        self._clock = clock
        self._drains = Drains(clock)
        self._units: dict[str, Unit] = {}
        self._failures: dict[str, _Failure] = {}  # of starts by service, of stops by replica
        self._tasks: dict[str, asyncio.Task[None]] = {}  # by replica
        self._moving: frozenset[str] = frozenset()
        self._seen = Observed()
        self._desired = Latest[Sequence[Desired]]()
        self._wakes: list[Callable[[], None]] = []
        self._timer: asyncio.TimerHandle | None = None
        keeper.on_change(self._changed)

    def on_change(self, wake: Callable[[], None]) -> None:
        """Call `wake` whenever the result of `observe` has changed, or work is due."""
        self._wakes.append(wake)

    async def adopt(self) -> None:
        """Take over the replicas of an earlier control plane. Raises ReplicaError."""
        await self._keeper.adopt()

    def apply(self, units: Sequence[Unit], *, held: Collection[str] = ()) -> None:
        """Take the steps towards running exactly `units` that are possible now, without waiting for their end."""
        self._units = {unit.key: unit for unit in units}
        self._keeper.supply(unit.body for unit in units if isinstance(unit.body, ProcessTemplate))
        replicas = self._keeper.observe()
        self._drains.keep({replica.id for replica in replicas})
        self._forgive(present={replica.id for replica in replicas})
        movable = [replica for replica in replicas if replica.service not in held]
        steps = next_steps(self._wanted(tuple(units)), movable, self._drains.now)
        self._drains.follow(steps)
        for step in steps:
            self._carry_out(step)
        # A stopping replica gets no more steps, even if its stop has failed, so that is retried here.
        stopping = [each for each in replicas if each.state is ReplicaState.STOPPING and each.id in self._failures]
        for replica in stopping:
            self._carry_out(Step(act="stop", service=replica.service, replica=replica.id, reason="retry"))
        self._moving = frozenset(step.service for step in steps)
        self._look_again()

    def note_planes(self, state: PlaneState) -> None:
        """Store the requests in flight that the planes have counted, and whether they know of the drains."""
        self._drains.note(state)

    def observe(self) -> Observed:
        """Return the state of all replicas, as far as it is known now: the same object while nothing changes."""
        draining = self._drains.now
        replicas = tuple(
            replace(each, draining=True) if each.id in draining else each for each in self._keeper.observe()
        )
        by_id: dict[str, str] = {replica.id: replica.service for replica in replicas}
        failures = {by_id.get(key, key): failure.says for key, failure in self._failures.items()}
        seen = Observed(
            replicas=replicas, failures=failures, moving=self._moving, troubles=tuple(self._keeper.troubles())
        )
        self._seen = self._seen if seen == self._seen else seen
        return self._seen

    async def metrics(self) -> Mapping[str, str | None]:
        """Return the Prometheus page of every replica that has one, by replica id; None if it cannot be read."""
        return await self._keeper.metrics()

    async def remove(self, services: Collection[str] | None = None) -> Mapping[str, str]:
        """Stop replicas without draining. Return the reason for each replica that cannot be stopped, by its id."""
        chosen = [each for each in self._keeper.observe() if services is None or each.service in services]
        self._units = {key: unit for key, unit in self._units.items() if services is not None and key not in services}
        ended = await asyncio.gather(*(self._keeper.stop(each.id) for each in chosen), return_exceptions=True)
        failed: dict[str, str] = {}
        for replica, error in zip(chosen, ended, strict=True):
            if isinstance(error, BateauError):
                failed[replica.id] = error.message
            elif isinstance(error, Exception):
                log.error("%s could not be stopped", replica.id, exc_info=error)
                failed[replica.id] = _bug(error)
            elif error is not None:
                raise error
        return failed

    def kill(self) -> None:
        """Send SIGKILL to every replica, without waiting."""
        self._keeper.kill()

    async def close(self) -> None:
        """Stop supervising, without stopping any replica."""
        if self._timer:
            self._timer.cancel()
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._wakes.clear()
        await self._keeper.close()

    def _carry_out(self, step: Step) -> None:
        if step.replica in self._tasks:
            return
        if step.act == "start":
            unit = self._units[step.service]
            failure = self._failures.get(step.service)
            if failure and failure.revision == unit.revision and failure.retry_at > self._clock.monotonic():
                return
            self._spawn(step, step.service, unit.revision, self._start(step, unit))
        elif step.act == "stop":
            failure = self._failures.get(step.replica)
            if failure is None or failure.retry_at <= self._clock.monotonic():
                self._spawn(step, step.replica, "", self._keeper.stop(step.replica))

    async def _start(self, step: Step, unit: Unit) -> None:
        if not isinstance(unit.body, ProcessTemplate):
            raise TypeError(f"{unit.key} was rendered for {unit.target}, which this machine does not run")
        await self._keeper.start(step.replica, step.service, unit.body)

    def _spawn(self, step: Step, owner: str, revision: str, work: Coroutine[object, object, None]) -> None:
        async def carry_out() -> None:
            try:
                log.info("%s: %s, %s", step.replica, step.act, step.reason)
                await work
            except BateauError as error:
                self._fail(owner, revision, f"{error.message} ({error.hint})" if error.hint else error.message)
            except Exception as error:  # noqa: BLE001 - a bug in one unit must not stop the others
                known = self._failures.get(owner)
                self._fail(owner, revision, _bug(error), error=None if known and known.says == _bug(error) else error)
            else:
                self._failures.pop(owner, None)
            finally:
                self._tasks.pop(step.replica, None)
                self._changed()

        self._tasks[step.replica] = asyncio.get_running_loop().create_task(
            carry_out(), name=f"{step.act} {step.replica}"
        )

    def _fail(self, owner: str, revision: str, says: str, *, error: Exception | None = None) -> None:
        known = self._failures.get(owner)
        times = known.times + 1 if known and known.revision == revision else 1
        if known is None or known.says != says:
            log.error("%s: %s", owner, says, exc_info=error)
        retry_at = self._clock.monotonic() + _RETRY.delay_s(times)
        self._failures[owner] = _Failure(says=says, times=times, retry_at=retry_at, revision=revision)

    def _wanted(self, units: tuple[Unit, ...]) -> Sequence[Desired]:
        return self._desired.of(lambda: tuple(map(_desired, units)), same=(), equal=units)

    def _forgive(self, present: Collection[str]) -> None:
        """Forget the failures of units that are no longer wanted, and of replicas that no longer exist."""
        self._failures = {
            owner: failure
            for owner, failure in self._failures.items()
            if owner in present or (owner in self._units and self._units[owner].revision == failure.revision)
        }

    def _look_again(self) -> None:
        """Schedule a wake-up for the next due work: measuring a drain, or retrying a failed step."""
        if self._timer:
            self._timer.cancel()
            self._timer = None
        now = self._clock.monotonic()
        # A failure that is already due was retried just now, or waits until its unit is applied again.
        due = [failure.retry_at - now for failure in self._failures.values() if failure.retry_at > now]
        if self._drains.now:
            due.append(DRAIN_LOOK_S)
        if due:
            self._timer = asyncio.get_running_loop().call_later(max(0.05, min(due)), self._changed)

    def _changed(self) -> None:
        for wake in self._wakes:
            wake()


def _desired(unit: Unit) -> Desired:
    return Desired(
        service=unit.key,
        revision=unit.revision,
        replicas=unit.replicas,
        drain_timeout_s=unit.drain_timeout_s,
        max_surge=unit.max_surge,
    )


def _bug(error: BaseException) -> str:
    return f"{bug(error)}; Bateau retries, and the log has the details"
