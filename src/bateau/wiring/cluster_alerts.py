"""The alerts and the timeline of a cluster's controller, and where they are kept.

Called by cli.controller.

Invariant: no child process inherits an address or a secret of a receiver. Held by
tests/wiring/test_cluster_alerts.py::test_no_child_inherits_a_receiver.
Invariant: two controllers on one machine never write the same files. Held by
tests/wiring/test_cluster_alerts.py::test_two_controllers_keep_their_state_apart.
"""

import logging
import re
import tempfile
from collections.abc import Callable, Coroutine, Mapping, MutableMapping, Sequence
from pathlib import Path
from typing import IO, Any, Final

from bateau.domain.errors import ControlError
from bateau.domain.event import Event
from bateau.domain.measures import MeasureHistory
from bateau.domain.release import Release
from bateau.domain.status import Status
from bateau.domain.timeline import Entry
from bateau.kit.quantity import format_seconds
from bateau.ports.alert_receiver import AlertReceiver
from bateau.ports.clock import Clock
from bateau.wiring.alert_receivers import VARIABLES, receivers_of
from bateau.wiring.alerts import Alerts
from bateau.wiring.chores import alert_chores
from bateau.wiring.cluster_alert_facts import ClusterFacts
from bateau.wiring.cluster_events import EVENTS_MAX, ClusterEvents
from bateau.wiring.controller_settings import ControllerSettings
from bateau.wiring.controller_terms import Terms
from bateau.wiring.lock import take_lock
from bateau.wiring.paths import Paths
from bateau.wiring.timeline import kept_timeline, timeline_reader

logger = logging.getLogger(__name__)

_ODD: Final = re.compile(r"[^A-Za-z0-9.-]+")


def taken_receivers(environ: MutableMapping[str, str]) -> Sequence[AlertReceiver]:
    """Return the receivers of alerts, and remove their variables. Raises ControlError if one cannot be used."""
    values = {name: environ.pop(name) for name in VARIABLES if name in environ}
    return receivers_of(values.get)


class ClusterAlerts:
    """The alerts and the events of one cluster. `url` is the address of its dashboard."""

    def __init__(self, terms: Terms, receivers: Sequence[AlertReceiver], *, clock: Clock, url: str) -> None:
        self._terms = terms
        self._clock = clock
        self.where, self._lock = _own_state(terms.settings)
        self.alerts = Alerts(self.where, receivers, clock=clock, name=f"cluster {terms.name}", url=lambda: url)
        earlier = _earlier(self.where)
        self._timeline = kept_timeline(self.where)
        kept = (self._timeline,) if self._timeline else ()
        self.events = ClusterEvents(earlier, *kept, self.alerts)
        self.alerts.tell = self.events.tell
        terms.reach.on_change(self._on_reach)

    def watch(
        self, status: Callable[[], Status | None], release: Callable[[], Release], history: MeasureHistory | None = None
    ) -> None:
        """Have the alerts be about this status, these services and their history."""
        self.alerts.status = status
        self.alerts.history = history or self.alerts.history
        self.alerts.sources = ClusterFacts(terms=self._terms, release=release, failing=self.alerts.failing)

    def chores(self) -> list[Coroutine[Any, Any, None]]:
        """Return what is done again and again until cancelled."""
        return alert_chores(self.alerts)

    def close(self) -> None:
        """Write what waits, and release the files."""
        if self._timeline:
            self._timeline.close()
        if self._lock:
            self._lock.close()

    def _on_reach(self) -> None:
        now, reach, subject = self._clock.wall(), self._terms.reach, f"cluster {self._terms.name}"
        if why := reach.unreachable:
            says = f"{subject} cannot be reached: {why}"
            self.events.tell([Event(when_s=now, subject=subject, reason="ClusterUnreachable", says=says, warning=True)])
            return
        says = f"{subject} can be reached again, after {format_seconds(max(1.0, round(reach.lasted_s)))}"
        self.events.tell([Event(when_s=now, subject=subject, reason="ClusterReachable", says=says)])


def _own_state(settings: ControllerSettings) -> tuple[Paths, IO[str] | None]:
    """Return the directory that survives a restart, and its lock; a passing one if another controller has it."""
    name = f"{_ODD.sub('-', settings.access.name)}-{settings.namespace}"
    path = _state_home(settings.environ) / "bateau" / "controllers" / name
    kept = Paths(state=path, runtime=path, cache=path)
    try:
        return kept, take_lock(kept, instance=f"the controller of {settings.access.name}", says=settings.identity)
    except ControlError as error:
        logger.warning("alerts and the timeline do not survive a restart: %s", error.message)
    path = settings.directory / "state"
    path.mkdir(parents=True, exist_ok=True)
    return Paths(state=path, runtime=path, cache=path), None


def _state_home(environ: Mapping[str, str]) -> Path:
    """Return the directory for state; that of a pod without one is kept while its pod is."""
    if given := environ.get("XDG_STATE_HOME"):
        return Path(given)
    if "KUBERNETES_SERVICE_HOST" in environ:
        return Path(tempfile.gettempdir()) / "state"
    return Path(environ.get("HOME") or Path.home()) / ".local/state"


def _earlier(where: Paths) -> Sequence[Entry]:
    try:
        reader = timeline_reader(where)
        if reader is None:
            return ()
        try:
            return reader.latest(EVENTS_MAX)
        finally:
            reader.close()
    except ControlError:
        return ()
