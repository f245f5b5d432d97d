"""What pages show besides the status: reports that are made only for the pages that need them.

Called by cli.controller and ui.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import UTC, date, datetime
from typing import Final, Literal, Protocol

from bateau.control.key_report import KeysReport
from bateau.control.path import Written
from bateau.domain.charts import Charts
from bateau.domain.sparklines import Sparkline
from bateau.domain.usage_report import LASTS, Last, UsageReport
from bateau.kit.refreshed import Refreshed
from bateau.wiring.charts import charts_of
from bateau.wiring.cluster_measures import ClusterMeasured
from bateau.wiring.key_reports import KeyReports
from bateau.wiring.local import LocalPlatform
from bateau.wiring.machine_reports import MachineReport, MachineReports
from bateau.wiring.sparklines import SparklineReports
from bateau.wiring.usage import Owners
from bateau.wiring.usage_reports import UsageReports

Need = Literal["charts", "keys", "machine", "sparklines", "specs", "usage"]
_LAST: Final[Last] = "24h"


@dataclass(frozen=True, kw_only=True)
class Reports:
    """The reports for one page; those that it does not need are None.

    `usage` is also None until the ledger has been summed. `sparklines` are those that are known, by service. `written`
    are the latest specs, as of the day `today`.
    """

    usage: UsageReport | None = None
    keys: KeysReport | None = None
    machine: MachineReport | None = None
    charts: Charts | None = None
    sparklines: Mapping[str, Sparkline] | None = None
    written: Written | None = None
    today: date | None = None

    def are(self, others: "Reports") -> bool:
        """Whether these are the same objects as others, on the same day."""
        same = all(getattr(self, each.name) is getattr(others, each.name) for each in fields(self)[:-1])
        return same and self.today == others.today


class Reporter(Protocol):
    """Makes reports."""

    async def of(self, needs: tuple[Need, ...], given: Mapping[str, str]) -> Reports:
        """Return what a page needs. `given` are the parts of its path; `last` is the window of the usage."""
        ...

    async def close(self) -> None:
        """End the processes that make reports."""
        ...


class InstanceReporter:
    """Makes the reports of one instance of this machine."""

    def __init__(self, platform: LocalPlatform) -> None:
        where, control = platform.settings.paths, platform.control
        self._platform = platform
        self._usage = UsageReports(
            where.state,
            Owners(platform.keys),
            platform.clock,
            gateways=lambda: [each.pid for each in control.observed.replicas if each.service in control.planes.proxies],
        )
        self._keys = KeyReports(platform.keys, platform.budgets, platform.clock)
        self._charts = charts_of(platform)
        self._sparklines = SparklineReports(
            platform.measured.history, platform.clock, services=lambda: control.release.services
        )
        disks = {"state and logs": where.state, "models": where.cache, "specs": platform.settings.directory}
        self._machine = Refreshed(MachineReports(control, platform.clock, disks).now)

    async def of(self, needs: tuple[Need, ...], given: Mapping[str, str]) -> Reports:
        """Return what a page needs."""
        service = f"{given['kind']}/{given['name']}" if "charts" in needs else ""
        last = given.get("last", _LAST)
        return Reports(
            usage=self._usage.now(last) if "usage" in needs and last in LASTS else None,
            keys=await self._keys.now() if "keys" in needs else None,
            machine=await self._machine.now() if "machine" in needs else None,
            charts=await self._charts.now(service, given.get("span", "hour")) if service else None,
            sparklines=await self._sparklines.now() if "sparklines" in needs else None,
            written=self._platform.control.desired.written if "specs" in needs else None,
            today=datetime.fromtimestamp(self._platform.clock.wall(), UTC).date() if "specs" in needs else None,
        )

    async def close(self) -> None:
        """End the processes that make reports."""
        await self._usage.close()


class ClusterReporter:
    """Makes the reports of a cluster: the charts and sparklines of its services."""

    def __init__(self, measured: ClusterMeasured) -> None:
        self._measured = measured

    async def of(self, needs: tuple[Need, ...], given: Mapping[str, str]) -> Reports:
        """Return what a page needs."""
        service = f"{given['kind']}/{given['name']}" if "charts" in needs else ""
        charts, sparklines = self._measured.charts, self._measured.sparklines
        return Reports(
            charts=await charts.now(service, given.get("span", "hour")) if service else None,
            sparklines=await sparklines.now() if "sparklines" in needs else None,
        )

    async def close(self) -> None:
        """Do nothing."""


class NoReporter:
    """Makes no reports, for tests and for pages that need none."""

    async def of(self, needs: tuple[Need, ...], given: Mapping[str, str]) -> Reports:
        """Return no reports."""
        del needs, given
        return Reports()

    async def close(self) -> None:
        """Do nothing."""
