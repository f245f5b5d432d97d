"""The CPU time of processes: that of a whole session, and unknown where it cannot be read."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from bateau.observe.cpu import cpu_by_session

SPIN = "import time; end = time.process_time() + 0.3\nwhile time.process_time() < end: pass\nprint(flush=True); input()"


def test_the_cpu_time_is_that_of_the_whole_session() -> None:
    command = ["sh", "-c", f"'{sys.executable}' -c '{SPIN}'; true"]
    with subprocess.Popen(
        command, start_new_session=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as made:
        assert made.stdout
        made.stdout.readline()
        found = cpu_by_session([made.pid])[made.pid]
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
        found = cpu_by_session([made.pid])[made.pid]
        made.communicate("\n")
    assert found is not None
    assert found >= 0.25


def test_cpu_time_that_cannot_be_read_is_unknown() -> None:
    assert cpu_by_session([2**22 + 1]) == {2**22 + 1: None}


def test_without_processes_nothing_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "scandir", None)
    assert cpu_by_session([]) == {}


def test_a_name_with_brackets_and_spaces_is_no_field() -> None:
    before, own = cpu_by_session([os.getpid()])[os.getpid()], Path("/proc/self/comm")
    assert before is not None
    old = own.read_text()
    own.write_text(") 9 9 (")
    try:
        assert (cpu_by_session([os.getpid()])[os.getpid()] or 0) >= before
    finally:
        own.write_text(old)
