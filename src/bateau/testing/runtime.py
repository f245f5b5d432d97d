"""A runtime without processes: units become replicas that are ready at the next look.

Invariant: keeps what every runtime promises; tests/ports/test_runtime.py is run against it and the real ones. Held by
tests/ports/test_runtime.py.
Refused: imitating probes, drains and back-off; tests of these use the local runtime over a FakeKeeper.
"""

import itertools
from collections.abc import Callable, Collection, Mapping, Sequence

from bateau.domain.endpoint import PlaneState
from bateau.domain.replica import Replica, ReplicaState
from bateau.domain.unit import Unit
from bateau.ports.runtime import Observed


class FakeRuntime:
    """Satisfies `bateau.ports.runtime.Runtime`. `refusals` maps service keys to why nothing of them starts."""

    name = "fake"

    def __init__(self) -> None:
        self.refusals: dict[str, str] = {}
        self._replicas: dict[str, Replica] = {}
        self._units: dict[str, Unit] = {}
        self._wakes: list[Callable[[], None]] = []
        self._pids = itertools.count(1)

    def on_change(self, wake: Callable[[], None]) -> None:
        """Call `wake` whenever what `observe` returns has changed."""
        self._wakes.append(wake)

    async def adopt(self) -> None:
        """Do nothing: no earlier control plane exists."""

    def apply(self, units: Sequence[Unit], *, held: Collection[str] = ()) -> None:
        """Make `units` the running ones."""
        self._units = {unit.key: unit for unit in units}
        wanted = {
            f"{unit.key.replace('/', '.')}.{number}": unit
            for unit in units
            if unit.key not in self.refusals
            for number in range(unit.replicas)
        }
        kept = {
            replica.id: replica
            for replica in self._replicas.values()
            if replica.service in held or replica.service in self.refusals or replica.id in wanted
        }
        made = {replica_id: self._made(replica_id, unit, kept.get(replica_id)) for replica_id, unit in wanted.items()}
        replicas = {**kept, **made}
        if replicas != self._replicas:
            self._replicas = replicas
            for wake in self._wakes:
                wake()

    def note_planes(self, state: PlaneState) -> None:
        """Nothing drains here."""

    def observe(self) -> Observed:
        """Return the replicas; a refused unit keeps those that it had."""
        replicas = tuple(self._replicas[each] for each in sorted(self._replicas))
        failures = {key: says for key, says in self.refusals.items() if key in self._units}
        return Observed(replicas=replicas, failures=failures, moving=frozenset(failures))

    async def metrics(self) -> Mapping[str, str | None]:
        """Return nothing."""
        return {}

    async def remove(self, services: Collection[str] | None = None) -> Mapping[str, str]:
        """Remove replicas."""
        self._replicas = {
            key: each for key, each in self._replicas.items() if services is not None and each.service not in services
        }
        return {}

    def kill(self) -> None:
        """Remove every replica."""
        self._replicas.clear()

    async def close(self) -> None:
        """Let go."""
        self._wakes.clear()

    def _made(self, replica_id: str, unit: Unit, known: Replica | None) -> Replica:
        if known is not None and known.revision == unit.revision:
            return known
        return Replica(
            id=replica_id, service=unit.key, revision=unit.revision, state=ReplicaState.READY, pid=next(self._pids)
        )
