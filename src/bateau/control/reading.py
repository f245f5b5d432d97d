"""The interface for reading texts outside the loop, so that a large repository delays no probe.

Used by control.desired and control.rollback. Satisfied by `InProcess` here, for tests and short commands, and by
wiring.reading, which reads in a separate process.
"""

from collections.abc import Mapping
from datetime import date
from typing import Protocol

from bateau.control.path import Written, understand
from bateau.ports.texts import Texts


class Reader(Protocol):
    """Reads and understands texts for one environment."""

    async def read(self, texts: Texts) -> Mapping[str, str]:
        """Return the content of every spec file. Raises BateauError if the directory or repository cannot be read."""
        ...

    async def understood(self, texts: Mapping[str, str], *, today: date) -> Written:
        """Return the specs in these texts. Raises ControlError if the evaluation itself fails."""
        ...


class InProcess:
    """Reads and understands texts in the current process."""

    def __init__(self, environment: str | None = None, variables: Mapping[str, str] | None = None) -> None:
        self._environment = environment
        self._variables = variables or {}

    async def read(self, texts: Texts) -> Mapping[str, str]:
        """Return the content of every spec file."""
        return texts.read()

    async def understood(self, texts: Mapping[str, str], *, today: date) -> Written:
        """Return the specs in these texts."""
        return understand(texts, self._environment, self._variables, today=today)
