"""The instance that a dashboard shows: what it asks the rest of the control plane for.

Called by ui.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Protocol

from markupsafe import Markup

from bateau.control.restarts import Restarted
from bateau.control.snapshots import Snapshots
from bateau.domain.figures import Figures
from bateau.domain.release import Release
from bateau.domain.sign_in import Role
from bateau.domain.timeline import Entry
from bateau.kit.latest import Latest
from bateau.kit.refreshed import Refreshed
from bateau.ports.logs import LiveLogs
from bateau.ports.meter import Meter
from bateau.ui.alert_actions import AlertDesk, NoAlerts
from bateau.ui.page import View
from bateau.ui.reports import Need, NoReporter, Reporter
from bateau.wiring.keys import Keys


class Restart(Protocol):
    """Replaces every replica of a service. Raises BateauError."""

    def __call__(self, service: str, *, who: str | None) -> Awaitable[Restarted]:
        """Return the restarted service. The person `who` asks for it; None: the user of this machine."""
        ...


@dataclass(frozen=True, kw_only=True)
class Instance:
    """One instance. `needs_key` is whether requests to models need an API key.

    `keys` are None where the dashboard changes none, and `logs` where it shows none. `events` returns the latest
    events, as they are in a view. `reporter` makes the reports for pages that need some.
    """

    snapshots: Snapshots
    release: Callable[[], Release]
    meter: Meter
    logs: LiveLogs | None
    needs_key: Callable[[], bool]
    restart: Restart
    events: Callable[[], tuple[Entry, ...] | None]
    alerts: AlertDesk = field(default_factory=NoAlerts)

    keys: Keys | None
    reporter: Reporter = field(default_factory=NoReporter)
    on_cluster: bool = False
    # Figures are measured for longer than a page may take.
    _figures: Refreshed[Figures] = field(init=False, repr=False)
    _kept: dict[str, Latest[Markup]] = field(default_factory=dict[str, Latest[Markup]], repr=False)

    def __post_init__(self) -> None:
        """Measure from now on whenever a view is asked for."""
        object.__setattr__(self, "_figures", Refreshed(self.meter.now))

    async def view(
        self, role: Role, needs: tuple[Need, ...] = (), given: Mapping[str, str] = MappingProxyType({})
    ) -> View | None:
        """Return what a page may show now; None while the control plane starts. `needs` and `given` are its own."""
        figures, status = await self._figures.now() or Figures(), self.snapshots.latest
        if status is None:
            return None
        return View(
            status=status,
            release=self.release(),
            figures=figures,
            role=role,
            needs_key=self.needs_key(),
            events=self.events(),
            alerts=self.alerts.board(),
            reports=await self.reporter.of(needs, given),
            on_cluster=self.on_cluster,
            has_logs=self.logs is not None,
            kept=self._kept,
        )
