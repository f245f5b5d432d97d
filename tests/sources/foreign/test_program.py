"""Programs are run with bounds, in a home that is empty, and without a way to the network."""

import contextlib
import os
import time
from pathlib import Path

import psutil
import pytest

from bateau.sources.foreign.program import Ran, find, run

ENVIRON = {"PATH": os.environ["PATH"], "KUBECONFIG": "/secret", "HTTPS_PROXY": "http://proxy.example"}


@pytest.fixture
def script(tmp_path: Path) -> Path:
    return tmp_path / "program"


def written(script: Path, text: str) -> Path:
    script.write_text(f"#!/bin/sh\n{text}\n")
    script.chmod(0o755)
    return script


def test_both_streams_are_read_at_once_and_whole(script: Path, tmp_path: Path) -> None:
    lines = "i=0; while [ $i -lt 20000 ]; do echo 'a line on the one'; echo 'and on the other' >&2; i=$((i+1)); done"
    ran = run(written(script, lines), [], folder=tmp_path, environ=ENVIRON)
    assert ran == Ran("a line on the one\n" * 20000)


def test_what_it_says_is_why_it_failed(script: Path, tmp_path: Path) -> None:
    ran = run(written(script, "echo half; echo no such thing >&2; exit 3"), [], folder=tmp_path, environ=ENVIRON)
    assert ran == Ran("half\n", "no such thing")
    ran = run(written(script, "exit 3"), [], folder=tmp_path, environ=ENVIRON)
    assert ran.failed == "program exited with status 3 and no error output"


def test_a_program_that_does_not_end_is_ended_with_its_children(script: Path, tmp_path: Path) -> None:
    begun = time.monotonic()
    program = written(script, "sleep 600 & echo $! > child; wait")
    ran = run(program, [], folder=tmp_path, environ=ENVIRON, timeout_s=0.5)
    assert ran == Ran("", "program did not end within 0.5 s")
    assert time.monotonic() - begun < 10
    child = int((tmp_path / "child").read_text())
    while time.monotonic() - begun < 10 and _runs(child):  # the kernel ends it in its own time
        time.sleep(0.01)
    assert not _runs(child)


def _runs(pid: int) -> bool:
    with contextlib.suppress(psutil.NoSuchProcess):
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    return False


def test_a_program_that_prints_without_end_is_ended(script: Path, tmp_path: Path) -> None:
    program = written(script, "while :; do echo yes; done")
    ran = run(program, [], folder=tmp_path, environ=ENVIRON, output_bytes_max=100_000)
    assert ran == Ran("", "program printed more than 100,000 bytes")


def test_a_program_that_does_not_start_is_told(script: Path, tmp_path: Path) -> None:
    script.write_text("no program")
    script.chmod(0o755)
    ran = run(script, [], folder=tmp_path, environ=ENVIRON)
    assert ran == Ran("", "program cannot be started: Exec format error")


def test_it_sees_nothing_of_our_environment_but_the_path(script: Path, tmp_path: Path) -> None:
    ran = run(written(script, "env; ls -A $HOME"), [], folder=tmp_path, environ=ENVIRON)
    variables = dict(line.split("=", 1) for line in ran.out.splitlines())
    assert variables["PATH"] == ENVIRON["PATH"]
    assert variables["HTTPS_PROXY"] == "http://127.0.0.1:9"
    assert "KUBECONFIG" not in variables
    assert not Path(variables["HOME"]).exists()


def test_programs_are_found_on_the_path_first(script: Path, tmp_path: Path) -> None:
    assert find("python3", {"PATH": ""}) is not None
    assert find("program", {"PATH": str(tmp_path)}) is None
    assert find("program", {"PATH": str(written(script, "").parent)}) == script
