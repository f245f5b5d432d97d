"""A reader of the ledger that may be stopped anywhere reads each line once."""

import json
import os
import random
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from bateau.store.ledger import Ledger
from bateau.store.ledger_reader import LedgerReader, Position, end_of, position_in, start_of

DAY = 86_400.0
NOW = 1_800_000_000.0


def line(key: object, at: float = NOW, **more: object) -> str:
    tree = {"v": "1", "time": f"{at:.3f}", "id": f"r{key}", "path": "/v1/completions", "status": 200, "key": str(key)}
    return json.dumps({**tree, **more}) + "\n"


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    made = Ledger(tmp_path / "usage")
    made.open()
    return made


def reopened(*, answers: bool = True) -> Callable[[], Awaitable[bool]]:
    async def reopen() -> bool:
        return answers

    return reopen


def rest(reader: LedgerReader, lines_max: int = 7) -> list[str | None]:
    """Read in small parts, to the end."""
    found: list[str | None] = []
    while True:
        found += [used.key for used in reader.read(lines_max)]
        if reader.at_end:
            return found


def again(reader: LedgerReader, ledger: Ledger) -> LedgerReader:
    """Return the reader of the next process: of this one, only its position is left."""
    reader.close()
    return LedgerReader(ledger, json.loads(json.dumps(dict(reader.position))))


@pytest.mark.parametrize("seed", range(20))
async def test_each_line_is_read_once_whatever_happens_between(ledger: Ledger, seed: int) -> None:
    rng = random.Random(seed)  # noqa: S311 - no secret
    reader, now, count = LedgerReader(ledger, end_of(ledger)), NOW, 0
    writer = ledger.path.open("a")
    seen: list[str | None] = []
    for _ in range(150):
        match rng.randrange(7):
            case 0 | 1:
                for _ in range(rng.randrange(12)):
                    text = line(count, now - 2 * DAY)
                    cut = rng.randrange(len(text))
                    writer.write(text[:cut])
                    if rng.random() < 0.2:
                        writer.flush()
                        seen += [used.key for used in reader.read(rng.randrange(1, 9))]
                    writer.write(text[cut:])
                    count += 1
                writer.flush()
            case 2:  # renamed, while the writer still has it
                now += 60
                await ledger.keep(reopened(answers=False), now=now)
            case 3:  # compressed, too
                now += 60
                await ledger.keep(reopened(answers=False), now=now)
                writer.close()
                writer = ledger.path.open("a")
                await ledger.keep(reopened(), now=now)
            case 4:
                reader = again(reader, ledger)
            case _:
                seen += [used.key for used in reader.read(rng.randrange(1, 30))]
    writer.close()
    seen += rest(again(reader, ledger))
    reader.close()
    assert sorted(seen, key=lambda key: int(key or "")) == [str(number) for number in range(count)]


async def test_a_writer_that_still_has_the_renamed_file_is_read_while_another_one_has_the_new_file(
    ledger: Ledger,
) -> None:
    ledger.path.write_text(line(0, NOW - 2 * DAY))
    reader = LedgerReader(ledger, {})
    with ledger.path.open("a") as old:
        await ledger.keep(reopened(answers=False), now=NOW)
        seen: list[str | None] = []
        for number in range(1, 9):
            if number % 2:
                with ledger.path.open("a") as new:
                    new.write(line(number))
            else:
                old.write(line(number))
                old.flush()
            reader = again(reader, ledger)
            seen += rest(reader)
    await ledger.keep(reopened(), now=NOW + 60)
    reader = again(reader, ledger)
    seen += rest(reader)
    reader.close()
    assert seen == [str(number) for number in range(9)]


async def test_a_reader_that_was_away_for_days_reads_all_files_in_order(ledger: Ledger) -> None:
    ledger.path.write_text(line("seen"))
    reader = LedgerReader(ledger, {})
    assert rest(reader) == ["seen"]
    for day in range(4):
        with ledger.path.open("a") as file:
            file.write("".join(line(f"{day}-{number}", NOW + day * DAY) for number in range(9)))
        await ledger.keep(reopened(), now=NOW + (day + 1) * DAY + 1)
    assert len(list(ledger.path.parent.glob("*.gz"))) == 4
    reader = again(reader, ledger)
    assert rest(reader, 4) == [f"{day}-{number}" for day in range(4) for number in range(9)]
    assert rest(reader) == []
    reader.close()


def test_a_part_has_no_more_lines_than_asked_for(ledger: Ledger) -> None:
    begun = json.dumps({"v": "begun-1", "time": "1.0", "id": "b"}) + "\n"
    ledger.path.write_text("damaged\n" + begun + line(1) + line(2) + line(3))
    reader = LedgerReader(ledger, {})
    assert [[used.key for used in reader.read(2)], reader.at_end] == [[], False]
    assert [[used.key for used in reader.read(2)], reader.at_end] == [["1", "2"], False]
    assert [[used.key for used in reader.read(2)], reader.at_end] == [["3"], True]


async def test_the_end_is_behind_all_lines_also_of_an_empty_file(ledger: Ledger) -> None:
    assert end_of(ledger) == {}
    ledger.path.write_text(line("old") + line("begun")[:9])
    reader = LedgerReader(ledger, end_of(ledger))
    assert rest(reader) == []
    with ledger.path.open("a") as file:
        file.write(line("begun")[9:])
    assert rest(reader) == ["begun"]
    await ledger.keep(reopened(), now=NOW + DAY + 1)  # the current file is empty now
    reader = LedgerReader(ledger, end_of(ledger))
    ledger.path.write_text(line("new"))
    assert rest(reader) == ["new"]
    reader.close()


def test_a_ledger_that_was_removed_begins_again(ledger: Ledger) -> None:
    ledger.path.write_text(line("old"))
    reader = LedgerReader(ledger, {})
    assert rest(reader) == ["old"]
    ledger.path.unlink()
    assert rest(reader) == []
    ledger.path.write_text(line("new"))
    assert rest(reader) == ["new"]


async def test_a_ledger_that_was_removed_begins_again_without_its_older_files(ledger: Ledger) -> None:
    for number in range(2):
        ledger.path.write_text(line(f"old-{number}", NOW + number * DAY))
        await ledger.keep(reopened(), now=NOW + (number + 1) * DAY + 1)
    ledger.path.write_text(line("current"))
    reader = LedgerReader(ledger, end_of(ledger))
    ledger.path.write_text(line("new"))  # a person has removed it, or has written over it
    assert rest(reader) == ["new"]
    reader = again(reader, ledger)
    assert rest(reader) == []


async def test_a_clock_that_is_set_back_between_two_rotations_has_no_line_read_twice(ledger: Ledger) -> None:
    reader = LedgerReader(ledger, {})
    seen: list[str | None] = []
    now = NOW + 365 * DAY
    for number in range(5):
        ledger.path.write_text(line(number, now))
        seen += rest(reader)
        with ledger.path.open("a") as file:
            file.write(line(f"{number}-late", now))
        os.utime(ledger.path, (now, now))
        await ledger.keep(reopened(), now=now + DAY + 1)
        now = NOW + number * DAY
    seen += rest(reader)
    reader = again(reader, ledger)
    assert rest(reader) == []
    assert seen == [key for number in range(5) for key in (str(number), f"{number}-late")]


async def test_readers_that_have_read_everything_are_at_the_same_position(ledger: Ledger) -> None:
    """So that one read serves them all: see `wiring.feed`."""
    readers = [LedgerReader(ledger, {})]
    for day in range(4):
        with ledger.path.open("a") as file:
            file.write("".join(line(f"{day}-{number}", NOW + day * DAY) for number in range(9)))
        positions: tuple[Position, ...] = (end_of(ledger), start_of(ledger, NOW), {})
        readers += [LedgerReader(ledger, position) for position in positions]
        for reader in readers:
            rest(reader)
        await ledger.keep(reopened(answers=day % 2 == 0), now=NOW + (day + 1) * DAY + 1)
        for reader in readers:
            rest(reader)
        assert [dict(reader.position) for reader in readers] == [dict(end_of(ledger))] * len(readers), day
    for reader in readers:
        reader.close()


async def test_the_start_is_before_all_requests_that_have_ended_since(ledger: Ledger) -> None:
    assert start_of(ledger, NOW) == {}
    for day in range(3):
        ledger.path.write_text(line(day, NOW + day * DAY))
        os.utime(ledger.path, (NOW + day * DAY, NOW + day * DAY))
        await ledger.keep(reopened(), now=NOW + (day + 1) * DAY + 1)
    ledger.path.write_text(line("current", NOW + 3 * DAY))
    os.utime(ledger.path, (NOW + 3 * DAY, NOW + 3 * DAY))
    assert rest(LedgerReader(ledger, start_of(ledger, 0.0))) == ["0", "1", "2", "current"]
    assert rest(LedgerReader(ledger, start_of(ledger, NOW + 1.5 * DAY))) == ["2", "current"]
    assert rest(LedgerReader(ledger, start_of(ledger, NOW + 9 * DAY))) == ["current"]  # it may be written to


def test_a_file_that_was_made_shorter_is_followed_from_its_new_end(ledger: Ledger) -> None:
    ledger.path.write_text("".join(line(number) for number in range(9)))
    reader = LedgerReader(ledger, end_of(ledger))
    ledger.path.write_text(line(0))
    assert rest(reader) == []
    with ledger.path.open("a") as file:
        file.write(line("new"))
    assert rest(reader) == ["new"]


def test_a_damaged_position_is_none() -> None:
    for offset in (-5, True, 1.5, "7", None):
        assert position_in({"position": {"a": 3, "b": offset}}) is None
    assert position_in({"position": 1}) is position_in({}) is None
    assert position_in({"position": {"a": 3}}) == {"a": 3}
    assert position_in({"position": {}}) == {}


@pytest.mark.parametrize("tail", ["", "begun", "begun" * 50_000])
def test_the_end_is_found_behind_a_long_line_that_is_not_complete(ledger: Ledger, tail: str) -> None:
    ledger.path.write_text(line(1) + line(2) + tail)
    assert list(end_of(ledger).values()) == [len(line(1) + line(2))]


def test_a_damaged_archive_is_read_up_to_the_damage(ledger: Ledger) -> None:
    import gzip

    packed = ledger.path.parent / "requests-20270101T000000.jsonl.gz"
    text = "".join(line(number, pad=random.Random(number).randbytes(200).hex()) for number in range(400))  # noqa: S311
    packed.write_bytes(gzip.compress(text.encode())[:40_000])
    ledger.path.write_text(line("current"))
    found = rest(LedgerReader(ledger, {}), 50)
    assert found[-1] == "current"
    assert found[:-1] == [str(number) for number in range(len(found) - 1)]
    assert 20 < len(found) < 401
