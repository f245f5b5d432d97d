"""Save the state that the next control plane needs: the specs, rollbacks, restarts and the ports of apps.

Called by control.

Invariant: a state that cannot be saved stops nothing. It is reported, kept in memory, and saved as soon as that is
possible. Held by tests/control/test_saving.py.
"""

import logging

from bateau.domain.errors import BateauError
from bateau.kit.json_value import ReadJson, ReadObject
from bateau.ports.clock import Clock
from bateau.ports.memory import Memory

logger = logging.getLogger(__name__)

RETRY_S = 10.0


class Saving:
    """The saved state by part. `trouble` is the reason why it is not saved; None if it is."""

    def __init__(self, memory: Memory, clock: Clock) -> None:
        self._memory = memory
        self._clock = clock
        self._unsaved: dict[str, ReadJson] = {}
        self._retry_at = 0.0
        self.trouble: str | None = None

    def load(self) -> ReadObject:
        """Return the state that an earlier control plane saved."""
        return self._memory.load()

    def save(self, parts: ReadObject) -> None:
        """Save parts of the state now, or at a later `retry`."""
        self._unsaved.update(parts)
        try:
            self._memory.save({**self._memory.load(), **self._unsaved})
        except BateauError as error:
            says = f"{error.message} ({error.hint})" if error.hint else error.message
            if says != self.trouble:
                logger.error("%s; that is retried", says)
            self.trouble = says
            self._retry_at = self._clock.monotonic() + RETRY_S
        else:
            self._unsaved.clear()
            self.trouble = None

    def retry(self) -> None:
        """Save the parts that could not be saved, if a retry is due."""
        if self.retry_in() == 0:
            self.save({})

    def retry_in(self) -> float | None:
        """Return the seconds until the next retry; None if everything is saved."""
        return max(0.0, self._retry_at - self._clock.monotonic()) if self._unsaved else None

    def drop(self, part: str) -> None:
        """Remove a part. A failure is logged: this is the last act of a control plane that ends."""
        self._unsaved.pop(part, None)
        try:
            self._memory.save({name: value for name, value in self._memory.load().items() if name != part})
        except BateauError as error:
            logger.error("%s", error.message)
