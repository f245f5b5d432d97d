"""Have the ledger summed for the pages of the dashboard, while someone watches.

Called by ui.reports. The sums are made by wiring.usage_process, in a process beside the control plane.

Invariant: however many pages ask, there is one process at a time for a window, and its report is kept for a minute, or
for as long as the process works in five percent of the time. Held by
tests/wiring/test_usage_reports.py::test_many_pages_share_one_report.
"""

import asyncio
import logging
import pickle
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

from bateau.domain.errors import ControlError
from bateau.domain.usage_report import LAST_S, Last, UsageReport
from bateau.domain.used import Used
from bateau.ports.clock import Clock
from bateau.wiring.usage import PATIENCE_S, Owners, gateways_began
from bateau.wiring.usage_process import SECONDS_MAX, Asked

logger = logging.getLogger(__name__)

FRESH_S: Final = 60.0
_SHARE: Final = 20.0
_GRACE_S: Final = 30.0
_PROGRAM: Final = "bateau.wiring.usage_process"
_NO_REQUESTS: Final[Sequence[Used]] = ()


class UsageReports:
    """The reports of one instance, whose ledger is below `state`. `gateways` returns the pids of the gateway."""

    def __init__(
        self, state: Path, owners: Owners, clock: Clock, *, gateways: Callable[[], Sequence[int | None]]
    ) -> None:
        self._state = state
        self._owners = owners
        self._clock = clock
        self._gateways = gateways
        self._known: dict[Last, UsageReport] = {}
        self._fresh_until: dict[Last, float] = {}
        self._running: dict[Last, asyncio.Task[None]] = {}

    def now(self, last: Last) -> UsageReport | None:
        """Return the latest report; None before there is one. A new one is made if it is old."""
        is_old = self._clock.monotonic() >= self._fresh_until.get(last, 0.0)
        if is_old and last not in self._running:
            self._running[last] = asyncio.create_task(self._make(last), name=f"usage of the last {last}")
        return self._known.get(last)

    async def close(self) -> None:
        """End the processes."""
        running = list(self._running.values())
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    async def _make(self, last: Last) -> None:
        began = self._clock.monotonic()
        try:
            self._known[last] = await self._report(last)
        except Exception as error:  # noqa: BLE001 - it is reported, and the next try comes
            logger.error("the usage of the last %s cannot be summed: %s", last, error)
            now = self._clock.wall()
            trouble = "the ledger cannot be summed at the moment; `bateau logs control` says why"
            self._known[last] = UsageReport(last=last, since=now - LAST_S[last], until=now, trouble=trouble)
        finally:
            ended = self._clock.monotonic()
            self._fresh_until[last] = ended + max(FRESH_S, _SHARE * (ended - began))
            self._running.pop(last, None)

    async def _report(self, last: Last) -> UsageReport:
        now = self._clock.wall()
        asked = Asked(
            state=self._state,
            last=last,
            until=now,
            cut_before=gateways_began(self._gateways(), otherwise=now - PATIENCE_S),
            owners=await asyncio.to_thread(self._owners_now),
        )
        # In "/", so that no file beside the specs is imported instead.
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", _PROGRAM),
            cwd="/",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            async with asyncio.timeout(SECONDS_MAX + _GRACE_S):
                out, wrong = await process.communicate(pickle.dumps(asked))
        finally:
            if process.returncode is None:
                process.kill()
        if process.returncode:
            raise ControlError(f"its process has ended with {process.returncode}: {wrong.decode(errors='replace')}")
        return pickle.loads(out)  # noqa: S301 - from our own process

    def _owners_now(self) -> Mapping[str, str]:
        return self._owners.of(_NO_REQUESTS)
