"""Keep single replicas running on this machine. Each has its own session and outlives the control plane.

Called by wiring.local. runtimes.local.runtime uses it through ports.keeper. Hands each replica to a Supervisor.

`observe` returns the known state at once and touches neither disk nor network.
Refused: systemd as the supervisor; containers and many machines have no user instance of it, and readiness by probe,
ports and rollouts would stay here anyway.
"""

import asyncio
import itertools
import logging
import os
import re
import signal
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping, Sequence
from pathlib import Path

from bateau.domain.errors import ReplicaError
from bateau.domain.process import ProbeTarget, ProcessTemplate
from bateau.domain.replica import Replica, ReplicaState
from bateau.kit.backoff import Backoff
from bateau.ports.clock import Clock
from bateau.ports.probe import Prober
from bateau.runtimes.local.adoption import Findings, look, state_of
from bateau.runtimes.local.instance import Instance
from bateau.runtimes.local.ports import LoopbackPorts
from bateau.runtimes.local.process_runner import ProcessRunner
from bateau.runtimes.local.records import Record
from bateau.runtimes.local.runner import Ended, Runner, Running, Unknown
from bateau.runtimes.local.supervisor import Supervisor
from bateau.runtimes.local.upkeep import Upkeep

log = logging.getLogger(__name__)

ID_PATTERN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
STRAY_STOP_TIMEOUT_S = 5.0
_FIND = Backoff(initial_s=0.5, ceiling_s=30.0)


async def _no_page(_target: ProbeTarget) -> str | None:
    return None


class LocalKeeper:
    """The replicas of one machine; satisfies `bateau.ports.keeper.Keeper`.

    A template names one of `runners`. `scrape` reads a Prometheus page.
    """

    def __init__(
        self,
        instance: Instance,
        *,
        prober: Prober,
        clock: Clock,
        runners: Sequence[Runner] = (),
        scrape: Callable[[ProbeTarget], Awaitable[str | None]] = _no_page,
    ) -> None:
        self._instance = instance
        self._runners = {runner.name: runner for runner in runners or (ProcessRunner(instance),)}
        self._prober = prober
        self._scrape = scrape
        self._clock = clock
        self._replicas: dict[str, Supervisor] = {}
        self._wakes: list[Callable[[], None]] = []
        self._cleanups: set[asyncio.Task[None]] = set()
        self._upkeep = Upkeep(self._instance, self._replicas, self._changed)

    @property
    def ports(self) -> LoopbackPorts:
        """The ports of this instance, shared by its replicas and by the app ports that clients connect to."""
        return self._instance.ports

    def on_change(self, wake: Callable[[], None]) -> None:
        """Call `wake` from the event loop whenever a replica's condition has changed."""
        self._wakes.append(wake)

    def observe(self) -> Sequence[Replica]:
        """Return every replica, sorted by id."""
        return [self._replicas[replica_id].view for replica_id in sorted(self._replicas)]

    def troubles(self) -> Sequence[str]:
        """Return the problems of this instance's files: a full disk, a record that cannot be written."""
        return self._upkeep.troubles

    async def adopt(self) -> None:
        """Take over from an earlier control plane: adopt running replicas, revive dead ones, end stray processes.

        An adopted process is not touched: it keeps its pid and gets no signal. A replica that cannot be found shows the
        reason, and is looked for until it is known whether it runs. Raises ReplicaError if a folder of this
        instance cannot be used.
        """
        self._prepare()
        self._instance.records.remove_unfinished()
        findings = look(self._instance.records, self._runners)
        await self._end_strays(findings)
        adopted: list[Supervisor] = []
        for found in findings.replicas:
            supervisor = self._supervisor(found.record)
            self._replicas[found.record.id] = supervisor
            self._instance.ports.reserve(found.record.id, found.record.ports)
            if found.record.stopping:
                if not isinstance(found.state, Ended | Unknown):
                    supervisor.adopt(found.state)
                self._later(self._finish_stop(supervisor), name=f"stop {found.record.id}")
            elif self._take_over(supervisor, found.state):
                adopted.append(supervisor)
        await asyncio.gather(*(supervisor.first_look() for supervisor in adopted))
        for supervisor in adopted:
            supervisor.supervise()
        self._changed()

    async def start(self, replica_id: str, service: str, template: ProcessTemplate) -> None:
        """Make a replica. Returns once its process exists; `observe` shows when it is ready.

        Raises ReplicaError with one sentence, and leaves nothing behind, if the program or the folder does not exist,
        no port is free, or the id is taken.
        """
        if not ID_PATTERN.fullmatch(replica_id):
            raise ReplicaError(f"{replica_id!r} cannot name a replica", hint="use letters, digits, '.', '-' and '_'")
        if replica_id in self._replicas:
            raise ReplicaError(f"replica {replica_id} exists already", hint="stop it first, or use another id")
        if template.runner not in self._runners:
            raise ReplicaError(
                f"this version has no runner {template.runner!r}", hint=f"its runners are: {', '.join(self._runners)}"
            )
        self._prepare()
        supervisor = self._supervisor(Record(id=replica_id, service=service, template=template))
        # Registered before its first change wakes anyone, so that `observe` already returns it then.
        self._replicas[replica_id] = supervisor
        try:
            supervisor.start()
        except ReplicaError:
            del self._replicas[replica_id]
            self._instance.ports.release(replica_id)
            raise

    def supply(self, templates: Iterable[ProcessTemplate]) -> None:
        """Give adopted replicas the values that their records lack, from the templates of their revisions."""
        missing = [each for each in self._replicas.values() if not each.record.template.is_complete]
        if missing:
            known = {template.revision: template.withheld for template in templates if template.is_complete}
            for supervisor in missing:
                supervisor.supply(known.get(supervisor.record.template.revision, {}))

    async def stop(self, replica_id: str) -> None:
        """End a replica: SIGTERM, then SIGKILL after its stop timeout. Returns when none of its processes is left.

        An unknown id is not an error. Raises ReplicaError if the kernel cannot end a process.
        """
        supervisor = self._replicas.get(replica_id)
        if supervisor is None:
            return
        await supervisor.stop()
        if self._replicas.get(replica_id) is supervisor:
            del self._replicas[replica_id]
            self._changed()

    async def metrics(self) -> Mapping[str, str | None]:
        """Return the Prometheus page of every replica that has one, by replica id; None if it cannot be read."""
        targets = {
            replica_id: target
            for replica_id, supervisor in self._replicas.items()
            if supervisor.view.pid is not None and (target := supervisor.metrics_target()) is not None
        }
        pages = await asyncio.gather(*(self._scrape(target) for target in targets.values()))
        return dict(zip(targets, pages, strict=True))

    def kill(self) -> None:
        """Send SIGKILL to every replica, without waiting."""
        for supervisor in self._replicas.values():
            supervisor.kill()

    async def close(self) -> None:
        """Stop supervising, without stopping any replica."""
        await self._upkeep.close()
        tasks = list(self._cleanups)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.gather(*(supervisor.close() for supervisor in self._replicas.values()))
        self._replicas.clear()
        self._wakes.clear()

    def _supervisor(self, record: Record) -> Supervisor:
        runner = self._runners[record.template.runner]
        return Supervisor(self._instance, runner, record, prober=self._prober, clock=self._clock, changed=self._changed)

    def _changed(self) -> None:
        for wake in self._wakes:
            wake()

    def _prepare(self) -> None:
        """Create the folders of this instance, and start to look after its files."""
        for folder in self._instance.folders:
            _make_private(folder)
        self._upkeep.begin()

    async def _end_strays(self, findings: Findings) -> None:
        """End processes that carry the mark of this instance but have no record, because of a crash at their start."""
        await asyncio.gather(*(self._end_stray(*stray) for stray in findings.strays))

    async def _end_stray(self, runner: str, replica_id: str) -> None:
        log.warning("Ending the processes of replica %s, which have no record", replica_id)
        try:
            await self._runners[runner].end_rest(
                replica_id, stop_timeout_s=STRAY_STOP_TIMEOUT_S, stop_signal=signal.SIGTERM
            )
        except Exception:
            # One process stuck in the kernel must not prevent the adoption of all the others.
            log.exception("A stray process could not be ended")

    def _take_over(self, supervisor: Supervisor, state: Running | Ended | Unknown) -> bool:
        """Take over a replica; return whether it runs."""
        if isinstance(state, Unknown):
            supervisor.wonder(state.why)
            self._later(self._find(supervisor), name=f"find {supervisor.record.id}")
        elif isinstance(state, Ended):
            supervisor.revive(state.why, at_once=state.at_once)
        else:
            supervisor.adopt(state)
            return True
        return False

    async def _find(self, supervisor: Supervisor) -> None:
        """Look for a replica until it is known whether it runs. Until then, no second process is started for it."""
        record = supervisor.record
        for times in itertools.count(1):
            await asyncio.sleep(_FIND.delay_s(times))
            if self._replicas.get(record.id) is not supervisor or supervisor.view.state is ReplicaState.STOPPING:
                return
            state = state_of(self._runners[record.template.runner], record)
            if isinstance(state, Unknown):
                supervisor.wonder(state.why)
                continue
            if self._take_over(supervisor, state):
                supervisor.supervise()
            return

    async def _finish_stop(self, supervisor: Supervisor) -> None:
        """Complete, in the background, a stop that a crash interrupted."""
        try:
            await self.stop(supervisor.record.id)
        except ReplicaError as error:
            log.warning("Replica %s could not be stopped: %s", supervisor.record.id, error.message)

    def _later(self, work: Coroutine[object, object, None], *, name: str) -> None:
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._cleanups.add(task)
        task.add_done_callback(self._cleanups.discard)


def _make_private(folder: Path) -> None:
    """Create a folder for its owner only. If others could write to it, they could replace sockets and records."""
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        status = folder.stat()
    except OSError as error:
        raise ReplicaError(
            f"the folder {folder} cannot be used: {error.strerror}", hint="choose another one, or make it writable"
        ) from error
    if status.st_uid != os.geteuid():
        raise ReplicaError(f"the folder {folder} belongs to user {status.st_uid}", hint="remove it, or choose another")
    if status.st_mode & 0o022:
        raise ReplicaError(f"other users can write to the folder {folder}", hint=f"chmod 700 {folder}")
