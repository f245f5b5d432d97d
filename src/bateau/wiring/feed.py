"""Read the ledger once for everything that acts on its requests.

Called by wiring.accounts. Those that have read everything are at the same position, so one read serves them all. One
that is behind, because it has begun later or has no room at the moment, is read for until it has caught up.

Invariant: each line is read and understood once for all consumers that keep up. Held by
tests/wiring/test_feed.py::test_a_line_is_understood_once_for_all_that_keep_up.
Invariant: a consumer that fails is reported once, and changes nothing for the others. Held by
tests/wiring/test_feed.py::test_a_consumer_that_fails_stops_no_other.
Refused: a queue for each consumer. Its requests are lost with the control plane; the ledger is not.
"""

import threading
from collections.abc import Callable, Sequence
from typing import Protocol

from bateau.domain.used import Used
from bateau.store.ledger import Ledger
from bateau.store.ledger_reader import LedgerReader, Position
from bateau.wiring.reported import Reported


class Consumer(Protocol):
    """Something that acts on requests. One of its methods is called at a time, each time in another thread."""

    @property
    def wrong(self) -> str:
        """The beginning of the report if it fails."""
        ...

    @property
    def lines_max(self) -> int:
        """How many lines it takes at once."""
        ...

    def begin(self, now: float) -> Position | None:
        """Return from where on it wants to read: the position that it was given last, or another one. None: not now.

        May raise ControlError and OSError; then it is asked again, and misses nothing.
        """
        ...

    def take(self, requests: Sequence[Used], position: Position) -> None:
        """Take the next requests. They are not given again, even if this raises: `position` is behind them."""
        ...

    def settle(self, now: float, *, at_end: bool) -> None:
        """Act upon the requests. `at_end`: there are no more at the moment. May raise ControlError and OSError."""
        ...

    def close(self) -> None:
        """End, and write the state that is kept. May raise ControlError."""
        ...


class Feed:
    """The consumers of one ledger, in the order in which they are served."""

    def __init__(self, ledger: Ledger, consumers: Sequence[Consumer]) -> None:
        self._ledger = ledger
        self._served = [_Served(each) for each in consumers]
        self._readers: list[LedgerReader] = []
        self._lock = threading.Lock()  # a turn is in a thread, which a control plane that ends does not wait for

    def turn(self, now: float) -> bool:
        """Give each consumer its next requests; return whether there are more for one of them."""
        with self._lock:
            for each in self._served:
                each.begin(now)
            waiting = [each for each in self._served if each.wants]
            while waiting:
                together = [each for each in waiting if each.position == waiting[0].position]
                waiting = [each for each in waiting if each not in together]
                self._read_for(together)
            self._keep_readers([each.position for each in self._served if each.position is not None])
            for each in self._served:
                each.settle(now)
            return any(each.wants and not each.at_end for each in self._served)

    @property
    def is_sound(self) -> bool:
        """Whether no consumer has failed in the last turn."""
        return all(each.is_sound for each in self._served)

    def close(self) -> None:
        """End all consumers. If one of them cannot write its state, the next control plane reads its requests again."""
        with self._lock:
            for each in self._served:
                each.close()
            self._keep_readers(())

    def _read_for(self, together: Sequence["_Served"]) -> None:
        """Give the next requests to consumers that are at the same position."""
        reader = self._reader_at(together[0].position or {})
        try:
            requests = reader.read(min(each.consumer.lines_max for each in together))
        except Exception as error:  # noqa: BLE001 - it is reported, and the others are served
            for each in together:
                each.failed(error)
            return
        for each in together:
            each.take(requests, reader.position, at_end=reader.at_end)

    def _reader_at(self, position: Position) -> LedgerReader:
        for reader in self._readers:
            if reader.position == position:
                return reader
        self._readers.append(LedgerReader(self._ledger, position))
        return self._readers[-1]

    def _keep_readers(self, positions: Sequence[Position]) -> None:
        """Close the readers that nobody needs to continue."""
        kept: list[LedgerReader] = []
        for reader in self._readers:
            if reader.position in positions and reader.position not in [each.position for each in kept]:
                kept.append(reader)
            else:
                reader.close()
        self._readers = kept


class _Served:
    """One consumer in one turn. Its position is None until it has one."""

    def __init__(self, consumer: Consumer) -> None:
        self.consumer = consumer
        self.position: Position | None = None
        self.wants = False
        self.at_end = True
        self._report = Reported(consumer.wrong)
        self.is_sound = True

    def begin(self, now: float) -> None:
        self.is_sound, self.wants, self.at_end = True, False, True

        def begin() -> None:
            if (position := self.consumer.begin(now)) is not None:
                self.wants, self.position = True, position

        self._attempt(begin)

    def take(self, requests: Sequence[Used], position: Position, *, at_end: bool) -> None:
        self.position, self.at_end = position, at_end
        self._attempt(lambda: self.consumer.take(requests, position))

    def settle(self, now: float) -> None:
        if self.is_sound:
            self._attempt(lambda: self.consumer.settle(now, at_end=self.at_end))
        if self.is_sound:
            self._report.is_over()

    def close(self) -> None:
        self._attempt(self.consumer.close)

    def failed(self, error: Exception) -> None:
        self.is_sound = False
        self._report.failed(error)

    def _attempt(self, step: Callable[[], None]) -> None:
        try:
            step()
        except Exception as error:  # noqa: BLE001 - it is reported, and the others are served
            self.failed(error)
