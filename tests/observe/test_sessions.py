"""The CPU time and the memory of processes: those of a whole session, and unknown where they cannot be read."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from bateau.observe import sessions
from bateau.observe.sessions import Use, use_by_session

SPIN = "import time; end = time.process_time() + 0.3\nwhile time.process_time() < end: pass\nprint(flush=True); input()"
HOLD = "held = bytearray(64 * 2**20); held[::4096] = b'x' * len(held[::4096]); print('ready', flush=True); input()"


@pytest.fixture
def process() -> Iterator[subprocess.Popen[str]]:
    """A shell with a child that holds 64 MiB, in a session of its own."""
    command = ["sh", "-c", f'"{sys.executable}" -c "{HOLD}"; true']
    with subprocess.Popen(
        command, start_new_session=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as made:
        assert made.stdout
        assert made.stdout.readline() == "ready\n"
        yield made
        made.communicate("\n")


def test_the_memory_of_a_process_is_that_of_its_session(process: subprocess.Popen[str]) -> None:
    found = use_by_session([process.pid])[process.pid].memory_bytes
    assert found is not None
    assert 64 * 2**20 <= found <= 128 * 2**20


def test_memory_is_left_unknown_on_demand(process: subprocess.Popen[str]) -> None:
    found = use_by_session([process.pid], memory=False)[process.pid]
    assert found.memory_bytes is None and found.cpu_s is not None


def test_a_value_that_cannot_be_read_is_unknown(
    process: subprocess.Popen[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert use_by_session([2**22 + 1]) == {2**22 + 1: Use()}

    def denied(pid: int) -> int | None:
        del pid
        return None

    monkeypatch.setattr(sessions, "_pss", denied)
    found = use_by_session([process.pid])[process.pid]
    assert found.memory_bytes is None and found.cpu_s is not None


def test_without_processes_nothing_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "scandir", None)
    assert use_by_session([]) == {}


def test_a_process_that_ends_meanwhile_counts_as_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for pid in ("10", "11"):
        (tmp_path / pid).mkdir()
        (tmp_path / pid / "stat").write_text(f"{pid} (app) S 1 10 10 0 -1 0 0 0 0 0 100 50 0 0")
    (tmp_path / "10/smaps_rollup").write_text("Pss: 2 kB\n")
    monkeypatch.setattr(sessions, "_PROC", tmp_path)
    assert use_by_session([10])[10].memory_bytes == 2048


def test_the_cpu_time_is_that_of_the_whole_session() -> None:
    command = ["sh", "-c", f"'{sys.executable}' -c '{SPIN}'; true"]
    with subprocess.Popen(
        command, start_new_session=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as made:
        assert made.stdout
        made.stdout.readline()
        found = use_by_session([made.pid])[made.pid].cpu_s
        made.communicate("\n")
    assert found is not None
    assert 0.25 <= found < 5


def test_cpu_time_of_children_that_have_ended_is_kept() -> None:
    command = ["sh", "-c", f"echo | '{sys.executable}' -c '{SPIN}' >/dev/null; echo; read line"]
    with subprocess.Popen(
        command, start_new_session=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as made:
        assert made.stdout
        made.stdout.readline()
        found = use_by_session([made.pid])[made.pid].cpu_s
        made.communicate("\n")
    assert found is not None
    assert found >= 0.25


def test_a_name_with_brackets_and_spaces_is_no_field() -> None:
    before, own = use_by_session([os.getpid()], memory=False)[os.getpid()].cpu_s, Path("/proc/self/comm")
    assert before is not None
    old = own.read_text()
    own.write_text(") 9 9 (")
    try:
        assert (use_by_session([os.getpid()], memory=False)[os.getpid()].cpu_s or 0) >= before
    finally:
        own.write_text(old)
