"""The ledger is read once for all who act on it; one that fails, or has no room, changes nothing for the others."""

import logging
import random
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import pytest

from bateau.domain.errors import ControlError
from bateau.domain.used import Used
from bateau.store import ledger_reader
from bateau.store.ledger import Ledger
from bateau.store.ledger_reader import LedgerReader, Position, end_of
from bateau.wiring.feed import Feed
from wiring.fed import opened, write

NOW = 1_800_000_000.0
DAY = 86_400.0


class Recorded:
    """A consumer that notes what it is given. A step whose error is set raises it."""

    wrong = "it is not noted at the moment"

    def __init__(self, position: Position, lines_max: int = 1_000) -> None:
        self.position = position
        self.lines_max = lines_max
        self.has_room = True
        self.seen: list[str] = []
        self.settled: list[bool] = []
        self.closed = False
        self.errors: dict[str, Exception] = {}

    def begin(self, now: float) -> Position | None:
        del now
        self._fail("begin")
        return self.position if self.has_room else None

    def take(self, requests: Sequence[Used], position: Position) -> None:
        self.position = position
        self._fail("take")
        self.seen += [used.id for used in requests]

    def settle(self, now: float, *, at_end: bool) -> None:
        del now
        self._fail("settle")
        self.settled.append(at_end)

    def close(self) -> None:
        self.closed = True
        self._fail("close")

    def _fail(self, step: str) -> None:
        if error := self.errors.get(step):
            raise error


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return opened(tmp_path)


@pytest.fixture
def understood(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """The lines that were understood."""
    lines: list[bytes] = []
    used_of = ledger_reader.used_of

    def noted(line: bytes) -> Used | None:
        lines.append(line)
        return used_of(line)

    monkeypatch.setattr(ledger_reader, "used_of", noted)
    return lines


def add(ledger: Ledger, first: int, count: int) -> list[str]:
    names = [f"r{number}" for number in range(first, first + count)]
    write(ledger, *({"id": name, "time": f"{NOW - 2 * DAY:.3f}"} for name in names))
    return names


def reopening(*, answers: bool) -> Callable[[], Awaitable[bool]]:
    async def reopen() -> bool:
        return answers

    return reopen


def drain(feed: Feed) -> None:
    while feed.turn(NOW):
        pass


async def test_a_line_is_understood_once_for_all_that_keep_up(ledger: Ledger, understood: list[bytes]) -> None:
    old = add(ledger, 0, 10)
    consumers = [Recorded({}), Recorded(end_of(ledger)), Recorded({}, lines_max=7), Recorded(end_of(ledger))]
    feed = Feed(ledger, consumers)
    drain(feed)
    understood.clear()
    new: list[str] = []
    for answers in (False, True, True):
        new += add(ledger, 10 + len(new), 20)
        feed.turn(NOW)
        await ledger.keep(reopening(answers=answers), now=NOW + DAY)
        drain(feed)
    assert len(understood) == len(set(understood)) == len(new)
    assert [each.seen for each in consumers] == [[*old, *new], new, [*old, *new], new]
    feed.close()


@pytest.mark.parametrize("error", [ControlError("no"), OSError(28, "No space left on device"), RuntimeError("a bug")])
@pytest.mark.parametrize("step", ["begin", "take", "settle"])
def test_a_consumer_that_fails_stops_no_other(
    ledger: Ledger, step: str, error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    first, odd, last = consumers = [Recorded({}), Recorded({}), Recorded({})]
    feed = Feed(ledger, consumers)
    early = add(ledger, 0, 5)
    drain(feed)
    odd.errors[step] = error
    during: list[str] = []
    with caplog.at_level(logging.INFO):
        for _ in range(3):
            during += add(ledger, 5 + len(during), 5)
            drain(feed)
    (record,) = caplog.records
    assert record.message.startswith("it is not noted at the moment")
    assert bool(record.exc_info) == isinstance(error, RuntimeError)
    assert first.seen == last.seen == [*early, *during]
    assert first.settled == last.settled
    odd.errors.clear()
    late = add(ledger, 5 + len(during), 5)
    drain(feed)
    # Nothing is given twice, and only what it has failed to take is not given again.
    assert odd.seen == [*early, *([] if step == "take" else during), *late]
    odd.errors[step] = error
    drain(feed)
    add(ledger, 100, 1)
    drain(feed)
    assert len(caplog.records) == 2, "the same error after it was over is reported again"
    odd.errors["close"] = error
    feed.close()
    assert all(each.closed for each in consumers)


async def test_one_that_has_no_room_is_read_for_later_and_misses_nothing(ledger: Ledger) -> None:
    rng = random.Random(7)  # noqa: S311 - no secret
    steady, slow = Recorded({}, lines_max=50), Recorded({}, lines_max=9)
    feed = Feed(ledger, [steady, slow])
    written: list[str] = []
    for day in range(8):
        written += add(ledger, len(written), rng.randrange(60))
        slow.has_room = day % 3 == 2
        for _ in range(rng.randrange(4)):
            feed.turn(NOW)
        drain(feed) if not slow.has_room else None
        assert len(slow.seen) <= len(written)
        await ledger.keep(reopening(answers=True), now=NOW + day * DAY)
    slow.has_room = True
    drain(feed)
    assert steady.seen == slow.seen == written
    assert steady.settled[-1]
    feed.close()


def test_nothing_is_settled_as_complete_before_its_end(ledger: Ledger) -> None:
    consumer = Recorded({}, lines_max=4)
    feed = Feed(ledger, [consumer])
    add(ledger, 0, 10)
    drain(feed)
    assert consumer.settled == [False, False, True]


@pytest.mark.parametrize("error", [OSError(5, "Input/output error"), RuntimeError("a bug")])
def test_a_ledger_that_cannot_be_read_is_reported_and_read_again(
    ledger: Ledger, error: Exception, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    consumers = [Recorded({}), Recorded({})]
    feed = Feed(ledger, consumers)
    names = add(ledger, 0, 3)

    def broken(*_: object) -> None:
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(LedgerReader, "read", broken)
        for _ in range(3):
            assert not feed.turn(NOW), "it would be read again at once"
    assert [record.message.startswith(Recorded.wrong) for record in caplog.records] == [True, True]
    feed.turn(NOW)
    assert [each.seen for each in consumers] == [names, names]
