"""Replicas write their own logs, which are rotated while they write, and read from the end."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bateau.domain.process import ProcessTemplate
from bateau.runtimes.local.logs import follow, open_log, rotate_if_full, tail
from runtimes.rig import Rig, look, until_true


def write(path: Path, *lines: str) -> None:
    with open_log(path) as file:
        file.write("".join(f"{line}\n" for line in lines).encode())


async def take(lines: AsyncIterator[str], count: int) -> list[str]:
    async with asyncio.timeout(10):
        return [await anext(lines) for _ in range(count)]


def test_tail_gives_the_last_lines_oldest_first(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    assert tail(path, 3) == ()
    write(path, "one", "two", "three", "four")
    assert tail(path, 3) == ("two", "three", "four")
    assert tail(path, 9) == ("one", "two", "three", "four")
    assert tail(path, 0) == ()
    path.write_bytes(b"whole\ncut \xff sho")
    assert tail(path, 2) == ("whole", "cut \N{REPLACEMENT CHARACTER} sho")


def test_tail_reads_over_blocks_and_into_the_rotated_file(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    write(path, *(f"{number} {'x' * 1000}" for number in range(500)))
    assert [line.split()[0] for line in tail(path, 300)] == [str(number) for number in range(200, 500)]
    assert rotate_if_full(path, bytes_max=1000)
    write(path, "new")
    assert [line.split()[0] for line in tail(path, 3)] == ["498", "499", "new"]


def test_three_rotated_files_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    assert rotate_if_full(path, bytes_max=1) is False
    for number in range(6):
        write(path, f"round {number}")
        assert rotate_if_full(path, bytes_max=1)
        assert rotate_if_full(path, bytes_max=1) is False
    texts = {file.name: file.read_text() for file in tmp_path.iterdir()}
    assert texts == {"a.log": "", "a.log.1": "round 5\n", "a.log.2": "round 4\n", "a.log.3": "round 3\n"}
    assert {file.stat().st_mode & 0o777 for file in tmp_path.iterdir()} == {0o600}


def test_a_full_log_is_renamed_at_a_start(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    write(path, "old")
    open_log(path, bytes_max=1).close()
    assert (path.read_text(), (tmp_path / "a.log.1").read_text()) == ("", "old\n")


async def test_follow_gives_what_is_there_and_what_comes(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    write(path, "one", "two", "three")
    lines = follow(path, lines=2)
    assert await take(lines, 2) == ["two", "three"]
    coming = asyncio.ensure_future(take(lines, 2))
    await asyncio.sleep(0)
    with path.open("a") as file:
        file.write("four\nfi")
        file.flush()
        file.write("ve\n")
    assert await coming == ["four", "five"]
    await lines.aclose()


async def test_follow_waits_for_a_log_that_is_not_there_yet(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    lines = follow(path)
    coming = asyncio.ensure_future(take(lines, 1))
    await asyncio.sleep(0)
    write(path, "one")
    assert await coming == ["one"]
    await lines.aclose()


@pytest.mark.parametrize("at_start", [True, False])
async def test_follow_loses_nothing_over_a_rotation(tmp_path: Path, at_start: bool) -> None:
    path = tmp_path / "a.log"
    write(path, "one")
    lines = follow(path, lines=1)
    assert await take(lines, 1) == ["one"]
    coming = asyncio.ensure_future(take(lines, 3))
    await asyncio.sleep(0)
    write(path, "two")
    if at_start:
        open_log(path, bytes_max=1).close()
    else:
        rotate_if_full(path, bytes_max=1)
    write(path, "3")
    write(path, "4")
    assert await coming == ["two", "3", "4"]
    await lines.aclose()


async def test_what_is_written_while_the_last_lines_are_shown_follows_them(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    write(path, "one")
    write(path, "two")
    lines = follow(path, lines=2)
    assert await take(lines, 1) == ["one"]
    write(path, "three")
    assert await take(lines, 2) == ["two", "three"]
    await lines.aclose()


async def test_follow_holds_back_a_last_line_until_its_end_comes(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    path.write_bytes(b"one\nha")
    lines = follow(path, lines=5)
    assert await take(lines, 1) == ["one"]
    with path.open("ab") as file:
        file.write(b"lf\n")
    assert await take(lines, 1) == ["half"]
    await lines.aclose()
    path.write_bytes(b"one\nha")
    assert tail(path, 5) == ("one", "ha")
    assert tail(path, 1) == ("ha",)


def test_only_lines_between_the_last_read_and_the_truncation_are_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.log"
    write(path, "x" * (8 * 2**20 - 1))
    assert rotate_if_full(path) is False, "a log of 8 MiB is not above 8 MiB"
    write(path, "kept")
    truncate = os.truncate

    def late(file: Path, size: int) -> None:
        write(file, "lost")
        truncate(file, size)

    monkeypatch.setattr(os, "truncate", late)
    assert rotate_if_full(path) is True
    write(path, "next")
    assert tail(path, 2) == ("kept", "next")


async def test_a_running_process_keeps_its_lines_over_rotations(rig: Rig) -> None:
    """A rotation may cost a line that is written in its very moment, as with logrotate's `copytruncate`; no more."""
    program = """
import sys, time
for number in range(2000):
    print(number, "x" * 60, flush=True)
    time.sleep(0.0005)
print("done", flush=True)
time.sleep(100)
"""
    runtime = rig.runtime()
    await runtime.start("app.a.0", "app/a", ProcessTemplate(revision="r1", command=(sys.executable, "-c", program)))
    path = rig.log("app.a.0")
    seen: list[str] = []

    async def listen() -> None:
        async for line in follow(path, lines=1000):
            seen.append(line.split()[0])
            if line == "done":
                return

    listening = asyncio.ensure_future(listen())
    kept: list[str] = []
    rotations = 0
    while tail(path, 1) != ("done",):
        if rotate_if_full(path, bytes_max=50_000):
            rotations += 1
            kept += [line.split()[0] for line in path.with_name("app.a.0.log.1").read_text().splitlines()]
        await asyncio.sleep(0.02)
    kept += [line.split()[0] for line in path.read_text().splitlines()]
    async with asyncio.timeout(10):
        await listening
    wanted = [*(str(number) for number in range(2000)), "done"]
    assert rotations > 1
    for found in (kept, seen):
        whole = [each for each in found if not each.startswith("x")]  # half a line, at most one for each rotation
        assert whole == [each for each in wanted if each in whole]
        assert len(wanted) - len(whole) <= rotations


async def test_the_engine_rotates_by_itself(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bateau.runtimes.local.upkeep.LOOK_S", 0.05)
    runtime = rig.runtime(log_bytes_max=10)
    template = ProcessTemplate(revision="r1", command=("sh", "-c", "echo more than ten bytes; exec sleep 100"))
    await runtime.start("app.a.0", "app/a", template)
    rotated = rig.log("app.a.0").with_name("app.a.0.log.1")
    await until_true(lambda: rotated.exists() and rig.log("app.a.0").read_text() == "")
    assert rotated.read_text() == "more than ten bytes\n"
    assert look(runtime, "app.a.0").log_path == str(rig.log("app.a.0"))
