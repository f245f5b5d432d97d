"""Log the failures of something that is tried again and again: each once, until it changes or is over.

Called by wiring.
"""

import logging

from bateau.domain.errors import BateauError

logger = logging.getLogger(__name__)


class Reported:
    """The last failure of one thing. Its report begins with `wrong`."""

    def __init__(self, wrong: str) -> None:
        self._wrong = wrong
        self._said = ""

    def failed(self, error: Exception) -> None:
        """Log an error, unless it is the last one. One that nobody expects is a bug, and is logged with its origin."""
        expected = isinstance(error, BateauError | OSError)
        says = str(error) if expected else repr(error)
        if says == self._said:
            return
        self._said = says
        if expected:
            logger.error("%s: %s", self._wrong, says)
        else:
            logger.error("%s, because of a bug", self._wrong, exc_info=error)

    def is_over(self) -> None:
        """Have the same error reported again the next time."""
        self._said = ""


class ReportedEach:
    """The last failure of each of many things. A report begins with the name of the thing, and then `wrong`."""

    def __init__(self, wrong: str) -> None:
        self._wrong = wrong
        self._known: dict[str, Reported] = {}

    def failed(self, name: str, error: Exception) -> None:
        """Log an error of the thing, unless it is the last one of it."""
        self._known.setdefault(name, Reported(f"{name} {self._wrong}")).failed(error)

    def is_over(self, name: str) -> None:
        """Have the same error of the thing reported again the next time."""
        self._known.pop(name, None)
