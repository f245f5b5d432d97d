"""Scan all processes of the machine, once for everyone who asks at about the same time.

Called by runtimes.local.ending and runtimes.local.process_runner.

A scan reads two files of every process. Without sharing, a stop of 1,000 replicas would read 4 million files.

Invariant: a scan starts after each of its callers has asked for it, so it misses no process that existed by then. Held
by tests/runtimes/test_scans.py.
"""

import asyncio
from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence

from bateau.runtimes.local.process import MARK_INSTANCE, MARK_REPLICA, Stat, every_process, marks_of


class Scan:
    """The running processes, except this one and zombies, by their session and by their marks."""

    def __init__(self, processes: Iterable[Stat]) -> None:
        self._sessions: defaultdict[int, list[Stat]] = defaultdict(list)
        self._replicas: defaultdict[tuple[str, str], list[Stat]] = defaultdict(list)
        for stat in processes:
            self._sessions[stat.session].append(stat)
            marks = marks_of(stat.pid) or {}
            if MARK_INSTANCE in marks:
                self._replicas[marks[MARK_INSTANCE], marks.get(MARK_REPLICA, "")].append(stat)

    @classmethod
    def now(cls) -> "Scan":
        """Return a scan. It takes about 50 µs per process."""
        return cls(every_process())

    def of(self, instance: str, replica_id: str, *, session: int | None) -> Sequence[Stat]:
        """Return the processes with the marks of a replica, and those of its session."""
        found = {stat.pid: stat for stat in self._replicas.get((instance, replica_id), ())}
        if session is not None:
            found.update((stat.pid, stat) for stat in self._sessions.get(session, ()))
        return [found[pid] for pid in sorted(found)]

    def replica_ids(self, instance: str) -> Collection[str]:
        """Return the ids of the replicas of an instance that have a process with its marks."""
        return {replica_id for name, replica_id in self._replicas if name == instance}


class Scans:
    """Makes one scan at a time, in a thread, so that it does not stall the event loop."""

    def __init__(self) -> None:
        self._latest: asyncio.Task[Scan] | None = None
        self._waiting: asyncio.Task[Scan] | None = None  # a scan that has not started yet

    async def next(self) -> Scan:
        """Return a scan that starts now, or when the current one has ended. Everyone who waits gets the same one."""
        if self._waiting is None:
            work = self._after(self._latest)
            self._waiting = self._latest = asyncio.get_running_loop().create_task(work, name="scan of processes")
        # Shielded: a caller that is cancelled must not take the scan from the others.
        return await asyncio.shield(self._waiting)

    async def _after(self, before: asyncio.Task[Scan] | None) -> Scan:
        if before is not None:
            await asyncio.wait({before})
        self._waiting = None  # from here on, whoever asks gets the next scan
        return await asyncio.to_thread(Scan.now)
