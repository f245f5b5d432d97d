"""Look after the files of an instance: its logs, its records, its disks, and the files that its replicas run from.

Made by the keeper; looks every few seconds.

Invariant: a failure here, also a bug, never ends or delays a replica, and the next look tries again. Held by
tests/runtimes/test_full_disk.py.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from bateau.kit.ticks import tick
from bateau.runtimes.local.disk import shortages
from bateau.runtimes.local.instance import Instance
from bateau.runtimes.local.logs import rotate_if_full
from bateau.runtimes.local.program_files import changes
from bateau.runtimes.local.supervisor import Supervisor

log = logging.getLogger(__name__)

LOOK_S = 5.0


class Upkeep:
    """The periodic work of one keeper. `changed` is called when `troubles` or a replica has changed."""

    def __init__(self, instance: Instance, replicas: Mapping[str, Supervisor], changed: Callable[[], None]) -> None:
        self._instance = instance
        self._replicas = replicas
        self._changed = changed
        self._shortages: tuple[str, ...] = ()
        self._task: asyncio.Task[None] | None = None

    @property
    def troubles(self) -> Sequence[str]:
        """The full disks, and the reasons why records could not be written."""
        return (*self._shortages, *self._instance.records.troubles.values())

    def begin(self) -> None:
        """Start the periodic work, unless it has started."""
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._run(), name="upkeep")

    async def close(self) -> None:
        """End the periodic work."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None

    async def _run(self) -> None:
        while True:
            try:
                await self._look()
            except Exception:
                log.exception("The upkeep of the instance's files failed; it is retried")
            await tick(LOOK_S)

    async def _look(self) -> None:
        before = self._shortages
        self._shortages = await asyncio.to_thread(shortages, (self._instance.state, self._instance.logs))
        if self._shortages and not before:
            log.warning("%s", "; ".join(self._shortages))
        if self._instance.records.retry() or self._shortages != before:
            self._changed()
        marks = {replica_id: supervisor.record.files for replica_id, supervisor in self._replicas.items()}
        found = await asyncio.to_thread(lambda: {replica_id: changes(each) for replica_id, each in marks.items()})
        for replica_id, changed in found.items():
            supervisor = self._replicas.get(replica_id)
            # A process that was started meanwhile has marks of its own.
            if supervisor is not None and supervisor.record.files is marks[replica_id]:
                supervisor.note_changed_files(changed)
        paths = [self._instance.log_path(replica_id) for replica_id in self._replicas]
        await asyncio.to_thread(self._rotate, paths)

    def _rotate(self, paths: Sequence[Path]) -> None:
        for path in paths:
            try:
                rotate_if_full(path, bytes_max=self._instance.log_bytes_max)
            except OSError as error:
                log.warning("The log %s could not be rotated: %s", path, error.strerror)
