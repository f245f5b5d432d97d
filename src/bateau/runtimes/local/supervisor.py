"""Keep one replica: watch its process, probe it, start it again when it ends, end it when told to.

Made by the runtime, one for each replica. Hands its process to ending, its probes to health.

Invariant: at most one process leads the replica. The next is started only when nothing of the last one runs, so that
no forgotten worker holds the port.
Refused: one loop over all replicas; a probe that hangs, or a stop that takes its time, would delay the others.
"""

import asyncio
import logging
import signal
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import replace
from pathlib import Path

from bateau.domain.errors import ReplicaError
from bateau.domain.process import ProbePlan, ProbeTarget, ProcessTemplate
from bateau.domain.replica import Replica, ReplicaState
from bateau.kit.backoff import Backoff
from bateau.kit.quantity import format_bytes
from bateau.kit.suggest import listed
from bateau.ports.clock import Clock
from bateau.ports.probe import NO_ANSWER, Prober
from bateau.runtimes.local.ending import Kin, end
from bateau.runtimes.local.health import Health
from bateau.runtimes.local.launch import Site, launch
from bateau.runtimes.local.limits import ENFORCED, Leaf
from bateau.runtimes.local.logs import tail
from bateau.runtimes.local.process import Process
from bateau.runtimes.local.records import Record

log = logging.getLogger(__name__)

HEALTHY_S_UNTIL_FORGIVEN = 60.0
LAST_LOG_LINES = 10
# Waits of the back-off look at the clock again after this many seconds, as that clock may be one that tests turn.
CLOCK_LOOK_S = 0.5
FIRST_PROBE_S_MAX = 2.0
_ENDED_WELL = "exited with code 0"
_ENDED_WELL_HINT = "for a task that ends set `restart: onFailure`; its standard input is closed, if it watches that"


class Supervisor:
    """One replica and what is known of it. All methods run on the event loop."""

    def __init__(
        self, site: Site, record: Record, *, prober: Prober, clock: Clock, changed: Callable[[], None]
    ) -> None:
        self._site = site
        self._record = record
        self._prober = prober
        self._clock = clock
        self._changed = changed
        self._process: Process | None = None
        self._health: Health | None = None
        self._healthy_since: float | None = None
        self._due = 0.0
        self._task: asyncio.Task[None] | None = None
        self._stop_task: asyncio.Task[None] | None = None
        self._supplied = asyncio.Event()
        self.view = Replica(
            id=record.id,
            service=record.service,
            revision=record.template.revision,
            state=ReplicaState.STARTING,
            pid=None,
            addresses=site.addresses(record),
            restarts=record.restarts,
            since=record.since or clock.wall(),
            log_path=str(site.log_path(record.id)),
            drain_timeout_s=record.template.drain_timeout_s,
        )

    @property
    def template(self) -> ProcessTemplate:
        """What its processes are made from."""
        return self._record.template

    def supply(self, values: Mapping[str, str | None]) -> None:
        """Take the values that the record does not hold. A replica that waits for them starts now."""
        template = replace(self.template, withheld={key: values.get(key) for key in self.template.withheld})
        if template.is_complete:
            self._record = replace(self._record, template=template)
            self._supplied.set()

    def start(self) -> None:
        """Start the first process. Raises ReplicaError; then nothing was made."""
        self._record = replace(self._record, since=self._clock.wall())
        self._launch()
        self._task = self._spawn(self._keep())

    def adopt(self, process: Process) -> None:
        """Go on with a process that an earlier control plane has started."""
        self._process = process
        self._begin(was_ready=self._record.ready)
        limits = None
        if self._record.cgroup is not None:
            limits = ENFORCED
        elif self._record.template.resources.memory or self._record.template.resources.cpu:
            limits = "not enforced: it was started without"
        is_ready = self._record.ready or self._health is None
        self._show(
            ReplicaState.READY if is_ready else ReplicaState.STARTING,
            reason="no probe" if self._health is None else None,
            pid=process.pid,
            limits=limits,
            adopted=True,
            since=self._record.since,
        )

    async def first_look(self) -> None:
        """Probe an adopted process once, so that the first `observe` tells its true condition; then keep it."""
        process, plan = self._process, self._site.probe_plan(self._record)
        if process is not None and plan is not None and not process.exited:
            await self._probe(process, plan, timeout_s=min(plan.timeout_s, FIRST_PROBE_S_MAX))
        self._task = self._spawn(self._keep())

    def revive(self, why: str, *, at_once: bool) -> None:
        """Take over a replica whose process has died meanwhile: it is started again after its back-off.

        A task that had ended, and is not to run again, stays as it is.
        """
        if self._record.ended is not None:
            self._show_ended(self._record.ended)
            return
        self._wait_for_next_start(why, at_once=at_once)
        self._task = self._spawn(self._keep())

    async def stop(self) -> None:
        """End the replica, and forget it; waiters share one end. Raises ReplicaError when something cannot be ended."""
        if self._stop_task is None or (self._stop_task.done() and self._stop_task.exception() is not None):
            self._stop_task = self._spawn(self._stop())
        await asyncio.shield(self._stop_task)

    def metrics_target(self) -> ProbeTarget | None:
        """Return where the replica's Prometheus page is, None where it has none."""
        return self._site.metrics_target(self._record)

    def kill(self) -> None:
        """Send SIGKILL to the process and its group."""
        if self._process is not None:
            self._process.send_to_group(signal.SIGKILL)

    async def close(self) -> None:
        """Let go without ending anything."""
        tasks = [task for task in (self._task, self._stop_task) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._process is not None:
            self._process.close(reap=self._process.exited)
            self._process = None

    async def _keep(self) -> None:
        while True:
            if self._process is None:
                await self._wait_until_due()
                await self._wait_for_values()
                self._start_again()
            if self._process is not None:
                why = await self._watch(self._process)
                await self._clear_away(why, self._process)
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
        launched = launch(self._site, self._record)
        self._process, self._record = launched.process, launched.record
        self._begin(was_ready=False)
        self._show(
            ReplicaState.READY if self._health is None else ReplicaState.STARTING,
            reason="no probe" if self._health is None else None,
            pid=launched.process.pid,
            limits=launched.limits,
            adopted=False,
        )

    def _begin(self, *, was_ready: bool) -> None:
        now = self._clock.monotonic()
        plan = self._site.probe_plan(self._record)
        self._health = None if plan is None else Health(plan, started=now, was_ready=was_ready)
        self._healthy_since = now if plan is None or was_ready else None

    async def _watch(self, process: Process) -> str:
        """Return why the process has ended, or must end."""
        health = self._health
        if health is None:
            await process.wait()
            return process.exit_text()
        while not await process.wait(health.delay_s(self._clock.monotonic())):
            plan = self._site.probe_plan(self._record)  # it may have been completed meanwhile
            if plan is None:
                continue
            await self._probe(process, plan, timeout_s=health.timeout_s(self._clock.monotonic()))
            if health.restart_reason is not None and not process.exited:
                return health.restart_reason
        return process.exit_text()

    async def _probe(self, process: Process, plan: ProbePlan, *, timeout_s: float) -> None:
        """Ask once, and show what has changed. What is asked of a process that ends meanwhile says nothing."""
        health = self._health
        assert health is not None  # noqa: S101 - a plan has its health
        asking = asyncio.ensure_future(self._prober.probe(plan.target, timeout_s))
        ending = asyncio.ensure_future(process.wait())
        try:
            await asyncio.wait({asking, ending}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            asking.cancel()
            ending.cancel()
            await asyncio.gather(asking, ending, return_exceptions=True)
        if process.exited:
            return
        answer = asking.result()
        is_silent = answer is not None and answer.startswith(NO_ANSWER)
        # In a thread, as it looks at every process of the machine; and only then, as silence is rare.
        cpu_s = await asyncio.to_thread(self._kin().cpu_s) if is_silent else None
        if process.exited:
            return
        health.note(answer, self._clock.monotonic(), cpu_s=cpu_s)
        self._note_healthy(healthy=health.state is ReplicaState.READY)
        if health.state is not self.view.state or health.reason != self.view.reason:
            self._show(health.state, reason=health.reason)
            self._remember_ready()

    def _note_healthy(self, *, healthy: bool) -> None:
        """Keep how long it has been healthy; a long time of health forgives the failures before it."""
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
        record = replace(self._record, ready=True, since=self.view.since)
        try:
            self._site.records.write(record)
        except ReplicaError as error:
            # It serves; the next control plane will merely have to probe it before it knows.
            log.warning("A replica's record could not be updated: %s", error.message)
        else:
            self._record = record

    async def _clear_away(self, why: str, process: Process) -> None:
        """End what is left of a process that has ended or must end; then nothing of it is in the way of the next."""
        self._note_healthy(healthy=False)
        had_exited = process.exited
        if had_exited:
            # Shown before the rest of it is ended, which may take its time: it takes no requests from now on.
            # The first end of one that was ready may be an accident; what ends again, or never was ready, waits.
            accident = self._record.ready and self._record.quick_failures <= 1
            self._wait_for_next_start(why, at_once=accident)
        else:
            self._show(self.view.state, reason=why)
        try:
            left_behind = await self._end(process)
        except ReplicaError as error:
            self._show(self.view.state, reason=error.message)
            await process.wait()
            left_behind = 0
        self._process = None
        process.close(reap=True)
        why += self._out_of_memory()
        if had_exited and self._is_over(why):
            self._finish(why)
            return
        if left_behind and why == _ENDED_WELL:
            why = f"{why} and left processes behind, which were ended: it must stay in the foreground"
        elif why == _ENDED_WELL:
            why = f"{why} by itself: an app is kept running; {_ENDED_WELL_HINT}"
        if not had_exited:
            self._wait_for_next_start(why, at_once=False)
        elif why != self.view.reason:
            self._show(self.view.state, reason=why)

    def _is_over(self, why: str) -> bool:
        """Whether a process that has ended so is not started again."""
        restart = self._record.template.restart
        return restart == "never" or (restart == "onFailure" and why == _ENDED_WELL)

    def _finish(self, why: str) -> None:
        """Keep how a task has ended, also over a restart of the control plane: it is not run a second time."""
        self._record = replace(self._record, ended=why)
        try:
            self._site.records.write(self._record)
        except ReplicaError as error:
            log.warning("How a replica ended could not be kept, so it may run again: %s", error.message)
        self._show_ended(why)

    def _show_ended(self, why: str) -> None:
        state = ReplicaState.DONE if why == _ENDED_WELL else ReplicaState.FAILED
        last_log = () if state is ReplicaState.DONE else self._last_log()
        self._show(state, reason=None if state is ReplicaState.DONE else why, pid=None, last_log=last_log)

    def _out_of_memory(self) -> str:
        """Say if the kernel has killed in the replica's cgroup, which is removed."""
        leaf = self._leaf()
        if leaf is None:
            return ""
        kills = leaf.oom_kills()
        leaf.remove()
        limit = self._record.template.resources.memory
        return "" if not kills else ": out of memory" + (f", its limit is {format_bytes(limit)}" if limit else "")

    def _wait_for_next_start(self, why: str, *, at_once: bool) -> None:
        delay = 0.0 if at_once else Backoff().delay_s(self._record.quick_failures)
        self._due = self._clock.monotonic() + delay
        self._show(ReplicaState.BACKOFF, reason=why, pid=None, last_log=self._last_log())

    async def _wait_until_due(self) -> None:
        while (left := self._due - self._clock.monotonic()) > 0:  # noqa: ASYNC110 - no event tells of a clock
            await asyncio.sleep(min(left, CLOCK_LOOK_S))

    async def _wait_for_values(self) -> None:
        """Wait for what the record does not hold: a start without it would only fail."""
        if not self.template.is_complete:
            missing = listed(sorted(key for key, value in self.template.withheld.items() if value is None))
            self._show(ReplicaState.BACKOFF, reason=f"waits for {missing}: values from env() are not kept on disk")
            await self._supplied.wait()

    async def _stop(self) -> None:
        self._show(ReplicaState.STOPPING)
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
        # Only now: until its task had ended, the replica might have got a new process.
        self._record = replace(self._record, stopping=True)
        try:
            self._site.records.write(self._record)
        except ReplicaError as error:
            # A full disk must not keep a process alive; a crash from here on would start the replica again.
            log.warning("A replica's record could not be updated: %s", error.message)
        process = self._process
        try:
            await self._end(process)
        except ReplicaError as error:
            self._show(ReplicaState.STOPPING, reason=error.message)
            raise
        self._process = None
        if process is not None:
            process.close(reap=True)
        leaf = self._leaf()
        if leaf is not None:
            leaf.remove()
        self._site.socket_path(self._record.id).unlink(missing_ok=True)
        self._site.records.remove(self._record.id)
        self._site.ports.release(self._record.id)

    async def _end(self, process: Process | None) -> int:
        template = self._record.template
        return await end(
            process,
            self._kin(),
            stop_timeout_s=template.stop_timeout_s,
            stop_signal=signal.Signals[template.stop_signal],
        )

    def _kin(self) -> Kin:
        known = self._record.process
        if known is None or self._process is None:
            return Kin(self._site.instance, self._record.id)
        return Kin(self._site.instance, self._record.id, known.pid, known.start_ticks)

    def _leaf(self) -> Leaf | None:
        return None if self._record.cgroup is None else Leaf(Path(self._record.cgroup))

    def _last_log(self) -> tuple[str, ...]:
        try:
            return tail(self._site.log_path(self._record.id), LAST_LOG_LINES)
        except OSError as error:
            return (f"(the log cannot be read: {error.strerror})",)

    def _show(self, state: ReplicaState, *, reason: str | None = None, **rest: object) -> None:
        """Set what `observe` returns, and tell whoever listens."""
        since = self.view.since if state is self.view.state else self._clock.wall()
        fresh = {"since": since, "restarts": self._record.restarts, "addresses": self._site.addresses(self._record)}
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
            log.error("The supervision of replica %s has failed", self._record.id, exc_info=error)
            self._show(self.view.state, reason=f"its supervision has failed: {error!r}")
