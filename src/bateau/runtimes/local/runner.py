"""The port between the keeper and its runners: a runner starts one replica, finds it again and ends it.

Used by keeper, supervisor and adoption. Satisfied by process_runner. Back-off, probes, records, ports, logs and
adoption belong to the keeper, so every runner has them; a template names its runner.
"""

import signal
from collections.abc import Collection
from dataclasses import dataclass
from typing import Protocol

from bateau.runtimes.local.records import Record


class Running(Protocol):
    """A running replica: its main process and everything that this has started. All waiting is on the event loop."""

    @property
    def pid(self) -> int:
        """The pid of the main process."""
        ...

    @property
    def exited(self) -> bool:
        """Whether the main process has ended."""
        ...

    async def wait(self, timeout_s: float | None = None) -> bool:
        """Wait for the end of the main process; return whether it has ended."""
        ...

    def exit_text(self) -> str:
        """Return how the main process ended, such as "exited with code 1"."""
        ...

    async def end(self, *, stop_timeout_s: float, stop_signal: signal.Signals) -> int:
        """Stop the replica; return how many processes the main process had left behind when it ended.

        Returns when nothing of the replica runs. Raises ReplicaError if something cannot be stopped.
        """
        ...

    def kill(self) -> None:
        """Kill the replica at once, without waiting."""
        ...

    async def cpu_s(self) -> float:
        """Return the CPU seconds that the replica has used."""
        ...

    def close(self, *, reap: bool) -> None:
        """Release the handle; `reap` also removes an ended child from the process table."""
        ...


@dataclass(frozen=True, slots=True)
class Launched:
    """A replica that has just been started. `limits` describes how its limits are enforced, for the status."""

    running: Running
    record: Record
    limits: str | None


@dataclass(frozen=True, slots=True)
class Ended:
    """A replica with a record of which nothing runs. `at_once`: a restart needs no back-off, as it has not failed."""

    why: str
    at_once: bool = False


@dataclass(frozen=True, slots=True)
class Unknown:
    """A replica with a record, of which it is not known whether it runs."""

    why: str


class Runner(Protocol):
    """Runs the templates of one kind, such as processes or containers."""

    name: str

    def launch(self, record: Record) -> Launched:
        """Start the replica of a record, and store the record with the identity of the running replica.

        Does not wait. Raises ReplicaError; in that case nothing runs and the stored record is unchanged.
        """
        ...

    def find(self, record: Record) -> Running | Ended:
        """Return the replica of a record if it is running, otherwise how it ended. Raises ReplicaError if unknown."""
        ...

    def running_ids(self) -> Collection[str]:
        """Return the ids of all replicas of this instance of which anything runs, including those without a record."""
        ...

    async def end_rest(self, replica_id: str, *, stop_timeout_s: float, stop_signal: signal.Signals) -> None:
        """Stop everything of a replica whose main process is unknown. Raises ReplicaError."""
        ...

    def limits(self, record: Record) -> str | None:
        """Return how the limits of an adopted replica are enforced; None if it has none."""
        ...

    def clean_up(self, record: Record) -> str:
        """Release the resources of an ended replica; return "", or a fragment about its end (": out of memory")."""
        ...
