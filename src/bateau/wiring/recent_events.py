"""The latest events of an instance, for the pages of the dashboard.

Called by ui.dashboard.
"""

import logging

from bateau.domain.errors import ControlError
from bateau.domain.timeline import Entry
from bateau.store.timeline import TimelineReader
from bateau.wiring.paths import Paths
from bateau.wiring.timeline import timeline_reader

logger = logging.getLogger(__name__)

EVENTS_MAX = 500


class RecentEvents:
    """The latest events of the timeline. They are read again when another has been written."""

    def __init__(self, paths: Paths) -> None:
        self._paths = paths
        self._reader: TimelineReader | None = None
        self._known: tuple[Entry, ...] | None = None
        self._failed = False

    def now(self) -> tuple[Entry, ...] | None:
        """Return the events, the latest last: the same object until there is another. None: they cannot be read."""
        try:
            if self._reader is None:
                self._reader = timeline_reader(self._paths)
            if self._reader is None:
                return None
            if self._reader.has_changed() or self._known is None:
                self._known = tuple(self._reader.latest(EVENTS_MAX))
        except ControlError as error:
            if not self._failed:
                logger.error("the dashboard has no timeline: %s (%s)", error.message, error.hint)
            self._failed = True
            return None
        self._failed = False
        return self._known
