"""What the page of the machine shows: what the machine has, what each service uses of it, and what still fits.

Called by ui.pages.machines_page and ui.reports.
"""

import asyncio
import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from bateau.control.loop import Control
from bateau.domain.inventory import Machine
from bateau.domain.machine_report import Hardware
from bateau.domain.replica import Replica
from bateau.kit.latest import Latest
from bateau.observe.hardware import HardwareMeter
from bateau.place import Room, rooms
from bateau.ports.clock import Clock

FRESH_S: Final = 5.0


@dataclass(frozen=True, kw_only=True)
class MachineReport:
    """A machine. `cores_by_service` are those that each service uses now; `rooms` are by service key. None: not known.

    `machine` is what Bateau may use of it; None while that is not known.
    """

    host: str
    machine: Machine | None
    hardware: Hardware
    cores_by_service: Mapping[str, float | None] = field(default_factory=dict[str, float | None])
    rooms: Mapping[str, Room] = field(default_factory=dict[str, Room])


class MachineReports:
    """The reports of one instance. `disks` are the directories where it keeps something, by what that is."""

    def __init__(self, control: Control, clock: Clock, disks: Mapping[str, Path]) -> None:
        self._control = control
        self._clock = clock
        self._meter = HardwareMeter(disks)
        self._rooms = Latest[Mapping[str, Room]]()
        self._latest: MachineReport | None = None
        self._made_at = 0.0
        self._lock = asyncio.Lock()

    async def now(self) -> MachineReport:
        """Return the latest report, which is made again if it is older than five seconds."""
        async with self._lock:
            latest, now = self._latest, self._clock.monotonic()
            if latest is None or now - self._made_at >= FRESH_S:
                self._made_at = now
                latest = self._latest = await self._report()
            return latest

    async def _report(self) -> MachineReport:
        replicas: Sequence[Replica] = self._control.observed.replicas
        pids = {each.pid: each.service for each in replicas if each.pid}
        hardware = await asyncio.to_thread(self._meter.measure, pids)
        cores = dict[str, float | None]()
        for pid, used in hardware.cores_by_session.items():
            before = cores.get(pids[pid], 0.0)
            cores[pids[pid]] = None if before is None or used is None else before + used
        inventory = self._control.outcome.inventory if self._control.outcome else None
        machine = inventory.machine if inventory else None
        found: Mapping[str, Room] = {}
        if inventory and machine:
            release, files = self._control.release, inventory.files
            made: Callable[[], Mapping[str, Room]] = lambda: rooms(release, files, machine)  # noqa: E731
            found = self._rooms.of(made, same=(release, files), equal=(machine,))
        return MachineReport(
            host=platform.node(), machine=machine, hardware=hardware, cores_by_service=cores, rooms=found
        )
