"""The memory of processes: that of a whole session, and unknown where it cannot be read."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from bateau.observe import memory
from bateau.observe.memory import memory_by_session

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
    found = memory_by_session([process.pid])[process.pid]
    assert found is not None
    assert 64 * 2**20 <= found <= 128 * 2**20


def test_memory_that_cannot_be_read_is_unknown(process: subprocess.Popen[str], monkeypatch: pytest.MonkeyPatch) -> None:
    assert memory_by_session([2**22 + 1]) == {2**22 + 1: None}

    def denied(pid: int) -> int | None:
        del pid
        return None

    monkeypatch.setattr(memory, "_pss", denied)
    assert memory_by_session([process.pid]) == {process.pid: None}


def test_without_processes_nothing_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "scandir", None)
    assert memory_by_session([]) == {}


def test_a_process_that_ends_meanwhile_counts_as_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for pid in ("10", "11"):
        (tmp_path / pid).mkdir()
        (tmp_path / pid / "stat").write_text(f"{pid} (app) S 1 10 10 0")
    (tmp_path / "10/smaps_rollup").write_text("Pss: 2 kB\n")
    monkeypatch.setattr(memory, "_PROC", tmp_path)
    assert memory_by_session([10]) == {10: 2048}
