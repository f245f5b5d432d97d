"""An instance with alerts around a control plane with fakes; receivers keep what they are told."""

import contextlib
from collections.abc import AsyncGenerator, Sequence
from pathlib import Path
from typing import cast

from bateau.control.alert_book import GROUP_WAIT_S
from bateau.domain.alert import Notice
from bateau.domain.event import Event
from bateau.wiring.alert_facts import FactSources
from bateau.wiring.alerts import Alerts
from bateau.wiring.budgets import Budgets
from bateau.wiring.keys import Keys
from bateau.wiring.paths import Paths
from bateau.wiring.remote import EndpointCertificate
from control.measured import FakeHistory
from control.world import World, world


class FakeReceiver:
    """A receiver that keeps notices. While `why` is set, it fails."""

    def __init__(self, name: str = "hook", *, resend_s: float | None = None) -> None:
        self.name = self.id = name
        self.resend_s = resend_s
        self.why: str | None = None
        self.error: Exception | None = None
        self.notices: list[Notice] = []
        self.tries = 0

    async def send(self, notice: Notice, now: float) -> str | None:
        del now
        self.tries += 1
        if self.error:
            raise self.error
        if self.why is None:
            self.notices.append(notice)
        return self.why

    @property
    def told(self) -> list[tuple[str, str]]:
        return [(alert.name, alert.state) for notice in self.notices for alert in notice.alerts]


class FakeBudgets:
    """Budgets whose refusals a test sets."""

    def __init__(self) -> None:
        self.refused: dict[str, dict[str, float]] | None = {}


class AlertInstance:
    """An instance; `restart` makes the alerts anew from their file, as another control plane does."""

    def __init__(self, made: World, folder: Path, receivers: Sequence[FakeReceiver]) -> None:
        self.world = made
        self.receivers = receivers
        self.history = FakeHistory()
        self.budgets = FakeBudgets()
        self.certificate: EndpointCertificate | None = None
        self.events: list[Event] = []
        self.directories: Sequence[Path] = ()
        self.folder = folder
        self.where = Paths(state=folder / "state", runtime=folder / "run", cache=folder / "cache")
        self.where.state.mkdir(exist_ok=True)
        self.keys = Keys("default", {"XDG_STATE_HOME": str(folder / "keys"), "XDG_RUNTIME_DIR": str(folder)})
        self.alerts = self._alerts()

    def restart(self) -> None:
        self.alerts = self._alerts()

    def _alerts(self) -> Alerts:
        made = Alerts(
            self.where,
            self.receivers,
            clock=self.world.clock,
            name="machine/default",
            url=lambda: "http://127.0.0.1:8080",
        )
        made.tell = self.tell
        made.history = self.history
        made.status = lambda: self.world.control.snapshots.latest
        made.sources = FactSources(
            control=self.world.control,
            keys=self.keys,
            budgets=cast("Budgets", self.budgets),
            certificate=self.certificate,
            directories=self.directories,
            failing=made.failing,
        )
        return made

    def tell(self, events: Sequence[Event]) -> None:
        self.events += events
        for each in events:
            self.alerts.emit(each)

    async def after(self, seconds: float) -> None:
        """Let time pass, evaluate, and deliver what is due."""
        self.world.clock.advance(seconds)
        await self.alerts.evaluate()
        await self.deliver()
        self.world.clock.advance(GROUP_WAIT_S)
        await self.deliver()

    async def deliver(self) -> None:
        for each in self.alerts.couriers:
            await each.deliver()

    def firing(self) -> list[str]:
        return [each.alert.name for each in self.alerts.board().firing]


@contextlib.asynccontextmanager
async def alert_instance(folder: Path, *receivers: FakeReceiver, **texts: str) -> AsyncGenerator[AlertInstance]:
    """An instance whose control plane runs."""
    async with world(history=None, memory=None, **texts) as made:
        await made.until(lambda: made.status.rolled_out)
        yield AlertInstance(made, folder, receivers)
