"""A keeper without processes: replicas are values that a test moves from state to state.

Invariant: behaves as `runtimes.local.LocalKeeper` where both are asked the same (one test suite is run against both).
Held by tests/ports/test_keeper.py.
Refused: imitating back-off and probes; tests of the loop say when a replica is ready, or dies, themselves.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace

from bateau.domain.errors import ReplicaError
from bateau.domain.process import ProcessTemplate
from bateau.domain.replica import ChangedFile, End, Replica, ReplicaState
from bateau.ports.clock import Clock
from bateau.testing.clock import ManualClock

PORT_FIRST = 20000
PID_FIRST = 1001


class FakeKeeper:
    """Satisfies `bateau.ports.keeper.Keeper`.

    `adopt` finds the replicas in `left_running`. With `auto_ready` a started replica is ready at once; without it a
    test calls `become_ready`. `refusals` maps ids to the message of the ReplicaError that their `start` raises.
    """

    def __init__(
        self, *, clock: Clock | None = None, auto_ready: bool = True, left_running: Sequence[Replica] = ()
    ) -> None:
        self._clock = clock or ManualClock()
        self._auto_ready = auto_ready
        self._left_running = tuple(left_running)
        self._replicas: dict[str, Replica] = {}
        self._wakes: list[Callable[[], None]] = []
        self._ports_given = 0
        self._pids_given = 0
        self.refusals: dict[str, str] = {}
        self.templates: dict[str, ProcessTemplate] = {}
        self.stopped: list[str] = []
        self.trouble: tuple[str, ...] = ()

    def on_change(self, wake: Callable[[], None]) -> None:
        """Call `wake` whenever the state of a replica has changed."""
        self._wakes.append(wake)

    async def adopt(self) -> None:
        """Find the replicas given as `left_running`."""
        for replica in self._left_running:
            self._put(replace(replica, adopted=replica.pid is not None))

    def observe(self) -> Sequence[Replica]:
        """Return every replica, ordered by id."""
        return [self._replicas[replica_id] for replica_id in sorted(self._replicas)]

    def troubles(self) -> Sequence[str]:
        """Return what the test has put into `trouble`."""
        return self.trouble

    async def start(self, replica_id: str, service: str, template: ProcessTemplate) -> None:
        """Create a replica. Raises ReplicaError if the id is taken, or if it is in `refusals`."""
        if replica_id in self._replicas:
            raise ReplicaError(f"replica {replica_id} exists already", hint="stop it first, or use another id")
        if replica_id in self.refusals:
            raise ReplicaError(self.refusals[replica_id])
        self.templates[replica_id] = template
        self._put(
            Replica(
                id=replica_id,
                service=service,
                revision=template.revision,
                state=ReplicaState.STARTING,
                pid=self._next_pid(),
                addresses=self._addresses(replica_id, template),
                since=self._clock.wall(),
                drain_timeout_s=template.drain_timeout_s,
            )
        )
        if self._auto_ready:
            self.become_ready(replica_id)

    def supply(self, templates: Iterable[ProcessTemplate]) -> None:
        """Nothing is kept on disk here, so nothing is missing."""

    async def stop(self, replica_id: str) -> None:
        """Stop a replica; an unknown id is ignored."""
        if replica_id in self._replicas:
            self.move(replica_id, ReplicaState.STOPPING)
            del self._replicas[replica_id]
            self.stopped.append(replica_id)
            self._wake()

    async def metrics(self) -> Mapping[str, str | None]:
        """Return that no page can be read: replicas that are values have none."""
        return {each: None for each, template in self.templates.items() if each in self._replicas and template.metrics}

    def kill(self) -> None:
        """End every replica."""
        self._replicas.clear()

    async def close(self) -> None:
        """Release everything without stopping any replica."""
        self._replicas.clear()
        self._wakes.clear()

    def become_ready(self, replica_id: str) -> None:
        """Let a replica answer its probe."""
        self.move(replica_id, ReplicaState.READY)

    def crash(self, replica_id: str, reason: str = "exited with code 1", *, last_log: Sequence[str] = ()) -> None:
        """Kill the process of a replica."""
        end = End(when_s=self._clock.wall(), says=reason)
        dead = replace(self._replicas[replica_id], pid=None, last_log=tuple(last_log), last_end=end)
        self._replicas[replica_id] = dead
        self.move(replica_id, ReplicaState.BACKOFF, reason)

    def changed(self, replica_id: str, *files: ChangedFile) -> None:
        """Change files that a replica was started from."""
        self._put(replace(self._replicas[replica_id], changed_files=files))

    def restart(self, replica_id: str) -> None:
        """Restart a replica that died, with a new process."""
        replica = self._replicas[replica_id]
        self._replicas[replica_id] = replace(
            replica, pid=self._next_pid(), restarts=replica.restarts + 1, adopted=False
        )
        self.move(replica_id, ReplicaState.STARTING)
        if self._auto_ready:
            self.become_ready(replica_id)

    def move(self, replica_id: str, state: ReplicaState, reason: str | None = None) -> None:
        """Put a replica into a state."""
        self._put(replace(self._replicas[replica_id], state=state, reason=reason, since=self._clock.wall()))

    def _put(self, replica: Replica) -> None:
        self._replicas[replica.id] = replica
        self._wake()

    def _wake(self) -> None:
        for wake in self._wakes:
            wake()

    def _next_pid(self) -> int:
        self._pids_given += 1
        return PID_FIRST + self._pids_given - 1

    def _addresses(self, replica_id: str, template: ProcessTemplate) -> Mapping[str, str]:
        addresses: dict[str, str] = {}
        for name in template.port_names:
            addresses[name] = f"127.0.0.1:{PORT_FIRST + self._ports_given}"
            self._ports_given += 1
        if template.uses_socket:
            addresses["socket"] = f"/run/bateau/{replica_id}.sock"
        return addresses
