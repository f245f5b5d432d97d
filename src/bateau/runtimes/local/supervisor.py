"""Supervise one replica: watch its process, probe it, restart it when it ends, and stop it on request.

Made by the keeper, one per replica. Its runner starts and stops it; health judges its probes.

Invariant: at most one process leads the replica. The next one is started only when no process of the last one is left,
so that no forgotten worker holds the port. Held by tests/runtimes/test_supervision.py and tests/runtimes/test_crash.py.
Refused: one loop over all replicas; a hanging probe, or a slow stop, would delay the others.
"""

import asyncio
import contextlib
import logging
import signal
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import replace

from bateau.domain.errors import ReplicaError, bug
from bateau.domain.process import ProbePlan, ProbeTarget
from bateau.domain.replica import ChangedFile, End, Replica, ReplicaState
from bateau.kit.backoff import Backoff
from bateau.kit.suggest import listed
from bateau.ports.clock import Clock
from bateau.ports.probe import NO_ANSWER, Prober
from bateau.runtimes.local.health import Health
from bateau.runtimes.local.instance import Instance
from bateau.runtimes.local.logs import last_lines
from bateau.runtimes.local.records import Record
from bateau.runtimes.local.runner import Runner, Running

log = logging.getLogger(__name__)

HEALTHY_S_UNTIL_FORGIVEN = 60.0
# The wait of the back-off reads the clock again after this many seconds, because tests may advance the clock.
CLOCK_LOOK_S = 0.5
FIRST_PROBE_S_MAX = 2.0
_ENDED_WELL = "exited with code 0"
_ENDED_WELL_HINT = "for a task that ends, set `restart: onFailure`. Its standard input is closed, in case it reads that"


class Supervisor:
    """One replica and its known state. All methods run on the event loop."""

    def __init__(
        self,
        instance: Instance,
        runner: Runner,
        record: Record,
        *,
        prober: Prober,
        clock: Clock,
        changed: Callable[[], None],
    ) -> None:
        self._instance = instance
        self._runner = runner
        self._record = record
        self._prober = prober
        self._clock = clock
        self._changed = changed
        self._running: Running | None = None
        self._health: Health | None = None
        self._healthy_since: float | None = None
        self._due = 0.0
        self._bugs = 0  # since the last probe that worked
        self._task: asyncio.Task[None] | None = None
        self._stop_task: asyncio.Task[None] | None = None
        self._supplied = asyncio.Event()
        self.view = Replica(
            id=record.id,
            service=record.service,
            revision=record.template.revision,
            state=ReplicaState.STARTING,
            pid=None,
            addresses=instance.addresses(record),
            restarts=record.restarts,
            since=record.since or clock.wall(),
            log_path=str(instance.log_path(record.id)),
            drain_timeout_s=record.template.drain_timeout_s,
        )

    @property
    def record(self) -> Record:
        """The record of the replica, with the template of its processes."""
        return self._record

    def supply(self, values: Mapping[str, str | None]) -> None:
        """Accept the values that the record lacks. A replica that waits for them starts now."""
        template = replace(
            self._record.template, withheld={key: values.get(key) for key in self._record.template.withheld}
        )
        if template.is_complete:
            self._record = replace(self._record, template=template)
            self._supplied.set()

    def start(self) -> None:
        """Start the first process. Raises ReplicaError if no process could be started."""
        self._record = replace(self._record, since=self._clock.wall())
        self._launch()
        self._task = self._spawn(self._keep())

    def adopt(self, running: Running) -> None:
        """Take over a process that an earlier control plane has started."""
        self._running = running
        self._begin(was_ready=self._record.ready)
        is_ready = self._record.ready or self._health is None
        self._show(
            ReplicaState.READY if is_ready else ReplicaState.STARTING,
            reason="no probe" if self._health is None else None,
            pid=running.pid,
            limits=self._runner.limits(self._record),
            adopted=True,
            since=self._record.since,
        )

    def wonder(self, why: str) -> None:
        """Show that it is not known whether the replica runs."""
        self._show(ReplicaState.BACKOFF, reason=f"it is not known whether it runs: {why}", pid=None)

    async def first_look(self) -> None:
        """Probe an adopted process once, so that the first `observe` reports its true state."""
        running, plan = self._running, self._instance.probe_plan(self._record)
        if running is not None and plan is not None and not running.exited:
            with contextlib.suppress(Exception):  # the next probe meets a bug again, and shows it
                await self._probe(running, plan, timeout_s=min(plan.timeout_s, FIRST_PROBE_S_MAX))

    def supervise(self) -> None:
        """Begin to supervise an adopted process."""
        if self._stop_task is None:
            self._task = self._spawn(self._keep())

    def revive(self, why: str, *, at_once: bool) -> None:
        """Take over a replica whose process has died meanwhile, and restart it after its back-off.

        A task that ended and must not run again is not restarted.
        """
        if self._record.ended is not None:
            self._show_ended(self._record.ended)
            return
        self._wait_for_next_start(why, at_once=at_once)
        self._task = self._spawn(self._keep())

    async def stop(self) -> None:
        """Stop the replica and remove its record. Concurrent calls share one stop. Raises ReplicaError on failure."""
        if self._stop_task is None or (self._stop_task.done() and self._stop_task.exception() is not None):
            self._stop_task = self._spawn(self._stop())
        await asyncio.shield(self._stop_task)

    def note_changed_files(self, changed: tuple[ChangedFile, ...] | None) -> None:
        """Show which of the files that its process was started from have changed."""
        if self._running is not None and changed != self.view.changed_files:
            self._show(self.view.state, reason=self.view.reason, changed_files=changed)

    def metrics_target(self) -> ProbeTarget | None:
        """Return the target of the replica's Prometheus page, None if it has none."""
        return self._instance.metrics_target(self._record)

    def kill(self) -> None:
        """Send SIGKILL to the process and its group."""
        if self._running is not None:
            self._running.kill()

    async def close(self) -> None:
        """Stop supervising without ending the process."""
        tasks = [task for task in (self._task, self._stop_task) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._running is not None:
            self._running.close(reap=self._running.exited)
            self._running = None

    async def _keep(self) -> None:
        """Supervise until the replica is over. After a bug, supervision continues with back-off, and shows it."""
        while True:
            try:
                return await self._keep_up()
            except Exception as error:
                self._bugs += 1
                says = f"{bug(error)}; its supervision is retried, and the log has the details"
                if says != self.view.reason:
                    log.error("the supervision of replica %s is retried", self._record.id, exc_info=error)
                self._show(self.view.state, reason=says)
            delay = Backoff().delay_s(self._bugs)
            self._due = max(self._due, self._clock.monotonic() + delay)
            if self._running is None:
                await self._wait_until_due()
            else:
                await self._running.wait(delay)

    async def _keep_up(self) -> None:
        while True:
            if self._running is None:
                await self._wait_until_due()
                await self._wait_for_values()
                self._start_again()
            if self._running is not None:
                why = await self._watch(self._running)
                await self._clear_away(why, self._running)
                if self._record.ended is not None:
                    return

    def _start_again(self) -> None:
        restarts, quick_failures = self._record.restarts, self._record.quick_failures
        self._record = replace(
            self._record, restarts=restarts + 1, quick_failures=quick_failures + 1, since=self._clock.wall()
        )
        try:
            self._launch()
        except ReplicaError as error:
            self._wait_for_next_start(error.message, at_once=False)

    def _launch(self) -> None:
        launched = self._runner.launch(self._record)
        self._running, self._record = launched.running, launched.record
        self._begin(was_ready=False)
        self._show(
            ReplicaState.READY if self._health is None else ReplicaState.STARTING,
            reason="no probe" if self._health is None else None,
            pid=launched.running.pid,
            limits=launched.limits,
            adopted=False,
            changed_files=None if self._record.files is None else (),
        )

    def _begin(self, *, was_ready: bool) -> None:
        now = self._clock.monotonic()
        plan = self._instance.probe_plan(self._record)
        self._health = None if plan is None else Health(plan, started=now, was_ready=was_ready)
        self._healthy_since = now if plan is None or was_ready else None

    async def _watch(self, running: Running) -> str:
        """Wait until the process has ended or must end, and return the reason."""
        health = self._health
        if health is None:
            await running.wait()
            return running.exit_text()
        while not await running.wait(health.delay_s(self._clock.monotonic())):
            plan = self._instance.probe_plan(self._record)  # missing values may have been supplied meanwhile
            if plan is None:
                continue
            await self._probe(running, plan, timeout_s=health.timeout_s(self._clock.monotonic()))
            if health.restart_reason is not None and not running.exited:
                return health.restart_reason
        return running.exit_text()

    async def _probe(self, running: Running, plan: ProbePlan, *, timeout_s: float) -> None:
        """Probe once, and show a changed state. The answer is ignored if the process ends meanwhile."""
        health = self._health
        assert health is not None  # noqa: S101 - _begin sets the health of every replica with a probe plan
        asking = asyncio.ensure_future(self._prober.probe(plan.target, timeout_s))
        ending = asyncio.ensure_future(running.wait())
        try:
            await asyncio.wait({asking, ending}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            asking.cancel()
            ending.cancel()
            await asyncio.gather(asking, ending, return_exceptions=True)
        if running.exited:
            return
        answer = asking.result()
        is_silent = answer is not None and answer.startswith(NO_ANSWER)
        # Only on silence, which is rare, because it scans every process of the machine.
        cpu_s = await running.cpu_s() if is_silent else None
        if running.exited:
            return
        health.note(answer, self._clock.monotonic(), cpu_s=cpu_s)
        self._bugs = 0
        self._note_healthy(healthy=health.state is ReplicaState.READY)
        if health.state is not self.view.state or health.reason != self.view.reason:
            self._show(health.state, reason=health.reason)
            self._remember_ready()

    def _note_healthy(self, *, healthy: bool) -> None:
        """Track for how long the replica has been healthy. A long healthy time resets the count of failures."""
        now = self._clock.monotonic()
        if healthy:
            self._healthy_since = now if self._healthy_since is None else self._healthy_since
        elif self._healthy_since is not None:
            if now - self._healthy_since >= HEALTHY_S_UNTIL_FORGIVEN:
                self._record = replace(self._record, quick_failures=0)
            self._healthy_since = None

    def _remember_ready(self) -> None:
        if self._health is None or self._health.state is not ReplicaState.READY or self._record.ready:
            return
        self._record = replace(self._record, ready=True, since=self.view.since)
        # If that fails, the replica serves all the same; the next control plane merely has to probe it first.
        self._instance.records.write_or_retry(self._record)

    async def _clear_away(self, why: str, running: Running) -> None:
        """End the remaining processes of one that has ended or must end, so that the next one can start."""
        self._note_healthy(healthy=False)
        had_exited = running.exited
        if had_exited:
            # Shown before its remaining processes are ended, which may take long: it takes no requests from now on.
            # The first end of a ready replica may be an accident. If it ends again, or never was ready, it waits.
            accident = self._record.ready and self._record.quick_failures <= 1
            self._wait_for_next_start(why, at_once=accident)
        else:
            self._show(self.view.state, reason=why)
        try:
            left_behind = await self._end(running)
        except ReplicaError as error:
            self._show(self.view.state, reason=error.message)
            await running.wait()
            left_behind = 0
        self._running = None
        running.close(reap=True)
        why += self._runner.clean_up(self._record)
        self.view = replace(self.view, last_end=End(when_s=self._clock.wall(), says=why))
        if had_exited and self._is_over(why):
            self._finish(why)
            return
        if left_behind and why == _ENDED_WELL:
            why = f"{why} and left processes behind, which were ended: the program must stay in the foreground"
        elif why == _ENDED_WELL:
            why = f"{why} by itself, but an app must keep running; {_ENDED_WELL_HINT}"
        if not had_exited:
            self._wait_for_next_start(why, at_once=False)
        elif why != self.view.reason:
            self._show(self.view.state, reason=why)

    def _is_over(self, why: str) -> bool:
        """Whether a process that has ended for this reason stays ended."""
        restart = self._record.template.restart
        return restart == "never" or (restart == "onFailure" and why == _ENDED_WELL)

    def _finish(self, why: str) -> None:
        """Store how a task has ended, so that a restarted control plane does not run it a second time."""
        self._record = replace(self._record, ended=why)
        self._instance.records.write_or_retry(self._record)
        self._show_ended(why)

    def _show_ended(self, why: str) -> None:
        state = ReplicaState.DONE if why == _ENDED_WELL else ReplicaState.FAILED
        last_log = () if state is ReplicaState.DONE else last_lines(self._instance.log_path(self._record.id))
        self._show(state, reason=None if state is ReplicaState.DONE else why, pid=None, last_log=last_log)

    def _wait_for_next_start(self, why: str, *, at_once: bool) -> None:
        delay = 0.0 if at_once else Backoff().delay_s(self._record.quick_failures)
        self._due = self._clock.monotonic() + delay
        self._show(
            ReplicaState.BACKOFF, reason=why, pid=None, last_log=last_lines(self._instance.log_path(self._record.id))
        )

    async def _wait_until_due(self) -> None:
        while (left := self._due - self._clock.monotonic()) > 0:  # noqa: ASYNC110 - no event reports a clock
            await asyncio.sleep(min(left, CLOCK_LOOK_S))

    async def _wait_for_values(self) -> None:
        """Wait for the values that the record lacks, as a start without them would only fail."""
        if not self._record.template.is_complete:
            missing = listed(sorted(key for key, value in self._record.template.withheld.items() if value is None))
            self._show(ReplicaState.BACKOFF, reason=f"waits for {missing}: values from env() are not stored on disk")
            await self._supplied.wait()

    async def _stop(self) -> None:
        self._show(ReplicaState.STOPPING)
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
        # Only now, because the replica could get a new process until its task had ended.
        self._record = replace(self._record, stopping=True)
        # A full disk must not keep a process alive. If that fails, a crash from here on starts the replica again.
        self._instance.records.write_or_retry(self._record)
        running = self._running
        try:
            await self._end(running)
        except ReplicaError as error:
            self._show(ReplicaState.STOPPING, reason=error.message)
            raise
        self._running = None
        if running is not None:
            running.close(reap=True)
        self._runner.clean_up(self._record)
        self._instance.socket_path(self._record.id).unlink(missing_ok=True)
        self._instance.records.remove(self._record.id)
        self._instance.ports.release(self._record.id)

    async def _end(self, running: Running | None) -> int:
        template = self._record.template
        number = signal.Signals[template.stop_signal]
        if running is None:
            await self._runner.end_rest(self._record.id, stop_timeout_s=template.stop_timeout_s, stop_signal=number)
            return 0
        return await running.end(stop_timeout_s=template.stop_timeout_s, stop_signal=number)

    def _show(self, state: ReplicaState, *, reason: str | None = None, **rest: object) -> None:
        """Set the state that `observe` returns, and report the change."""
        since = self.view.since if state is self.view.state else self._clock.wall()
        fresh = {"since": since, "restarts": self._record.restarts, "addresses": self._instance.addresses(self._record)}
        self.view = replace(self.view, state=state, reason=reason, **{**fresh, **rest})  # type: ignore[arg-type]
        self._changed()

    def _spawn(self, work: Coroutine[object, object, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work, name=f"replica {self._record.id}")
        task.add_done_callback(self._tell_bug)
        return task

    def _tell_bug(self, task: asyncio.Task[None]) -> None:
        if task.cancelled():
            return
        error = task.exception()
        if error is not None and not isinstance(error, ReplicaError):
            log.error("Bateau no longer supervises replica %s because of a bug", self._record.id, exc_info=error)
            self._show(self.view.state, reason=f"Bateau no longer supervises it because of a bug: {error!r}")
