"""Open the timeline of an instance.

Called by cli.timeline and wiring.
"""

import logging
from pathlib import Path

from bateau.domain.errors import ControlError
from bateau.store.timeline import Timeline, TimelineReader
from bateau.wiring.paths import Paths

logger = logging.getLogger(__name__)


def timeline_path(paths: Paths) -> Path:
    """Return where the timeline of an instance lies."""
    return paths.state / "timeline.sqlite"


def kept_timeline(paths: Paths) -> Timeline | None:
    """Return the timeline for writing; None if it is damaged or read-only, because no running service needs it."""
    try:
        return Timeline(timeline_path(paths))
    except ControlError as error:
        logger.error("no timeline is kept: %s (%s)", error.message, error.hint)
        return None


def timeline_reader(paths: Paths) -> TimelineReader | None:
    """Return the timeline for reading, None where the instance never ran. Raises ControlError."""
    path = timeline_path(paths)
    return TimelineReader(path) if path.exists() else None
