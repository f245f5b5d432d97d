"""The sinks of events: lines in the control plane's log, and counters for metrics.

Made by wiring.story; control hands every event to them.

Invariant: a warning is logged as a warning, and everything else as information. Held by tests/observe/test_events.py.
"""

import logging
from collections import Counter

from bateau.domain.event import Event

logger = logging.getLogger(__name__)


class LoggedEvents:
    """Writes one line per event: subject, reason, sentence. The fields are for programs and stay out of the line."""

    def emit(self, event: Event) -> None:
        """Log an event."""
        level = logging.WARNING if event.warning else logging.INFO
        logger.log(level, "%s %s%s", event.subject, event.reason, f": {event.says}" if event.says else "")


class CountedEvents:
    """Counts events by reason, and by whether they are warnings."""

    def __init__(self) -> None:
        self._counts: Counter[tuple[str, bool]] = Counter()

    def emit(self, event: Event) -> None:
        """Count an event."""
        self._counts[event.reason, event.warning] += 1

    def counts(self) -> list[tuple[str, bool, int]]:
        """Return (reason, whether it is a warning, number of events), ordered by reason."""
        return [(reason, warning, number) for (reason, warning), number in sorted(self._counts.items())]
