"""The events of a cluster: for the pages of its controller, for its timeline on disk, and for its alerts.

Called by wiring.cluster_alerts and wiring.cluster_view.
"""

import logging
from collections import deque
from collections.abc import Iterable
from typing import Final

from bateau.control.happenings import tell
from bateau.domain.event import Event
from bateau.domain.timeline import Entry
from bateau.observe.events import LoggedEvents
from bateau.ports.events import Events

logger = logging.getLogger(__name__)

EVENTS_MAX: Final = 500
# Those about services are in the timeline only: a cluster has many.
_LOGGED: Final = ("ClusterUnreachable", "ClusterReachable", "AlertFiring", "AlertResolved", "DeliveryFailed")


class ClusterEvents:
    """The latest events, the earlier ones of a timeline first; and the sinks that get each new one."""

    def __init__(self, earlier: Iterable[Entry] = (), *sinks: Events) -> None:
        self._events = deque[Entry](earlier, maxlen=EVENTS_MAX)
        self._number = self._events[-1].number if self._events else 0
        self._sinks = sinks
        self._log = LoggedEvents()
        self.shown: tuple[Entry, ...] = tuple(self._events)

    def tell(self, events: Iterable[Event]) -> None:
        """Keep some events, and hand them to the sinks."""
        for each in events:
            self._number += 1
            self._events.append(Entry(number=self._number, event=each))
            tell((self._log,) if each.reason in _LOGGED else (), [each])
            tell(self._sinks, [each])
        if not self.shown or self._events[-1] is not self.shown[-1]:
            self.shown = tuple(self._events)
