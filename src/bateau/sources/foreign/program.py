"""Run kubectl, kustomize or Helm, and return their output.

Called by sources.foreign. Only this module of the package starts processes.

Invariant: a program is limited in time and output, and starts without a shell. Its environment has an empty temporary
home directory and no proxy that works: it finds no credentials, plug-ins or cluster, and no network over HTTP or Git.
Held by tests/sources/foreign/test_program.py.
"""

import os
import selectors
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

TIMEOUT_S: Final = 60.0
OUTPUT_BYTES_MAX: Final = 64 * 2**20
_CHUNK: Final = 2**16
_NOWHERE: Final = "http://127.0.0.1:9"  # the port `discard`, where nothing listens
_SHUT: Final = {
    **dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"), _NOWHERE),
    "GIT_ALLOW_PROTOCOL": "none",
    "GIT_TERMINAL_PROMPT": "0",
    "LC_ALL": "C",
}


@dataclass(frozen=True, slots=True)
class Ran:
    """The output of a program. If it is not usable, `failed` is the reason: the error output, or why it was killed."""

    out: str
    failed: str | None = None


def find(name: str, environ: Mapping[str, str]) -> Path | None:
    """Return the path of a program: from PATH, else from the directory of Python, where wheels install programs."""
    for folders in (environ.get("PATH", ""), str(Path(sys.executable).parent)):
        if found := shutil.which(name, path=folders):
            return Path(found)
    return None


def run(
    program: Path,
    arguments: Sequence[str],
    *,
    folder: Path,
    environ: Mapping[str, str],
    timeout_s: float = TIMEOUT_S,
    output_bytes_max: int = OUTPUT_BYTES_MAX,
) -> Ran:
    """Run a program in `folder` and wait until it exits."""
    with tempfile.TemporaryDirectory(prefix="bateau-home-") as home:
        variables = {**_SHUT, "PATH": environ.get("PATH", ""), "HOME": home, "TMPDIR": home, "XDG_CONFIG_HOME": home}
        try:
            process = subprocess.Popen(
                [str(program), *arguments],
                cwd=folder,
                env=variables,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,  # its child processes are killed with it
            )
        except OSError as error:
            return Ran("", f"{program.name} cannot be started: {error.strerror}")
        with process:
            try:
                out, err, ended = _output(process, timeout_s, output_bytes_max)
            finally:
                _end(process)
    if ended:
        return Ran("", f"{program.name} {ended}")
    text = out.decode("utf-8", "surrogateescape")
    if process.returncode:
        says = err.decode("utf-8", "replace").strip()
        return Ran(text, says or f"{program.name} exited with status {process.returncode} and no error output")
    return Ran(text)


def _output(
    process: subprocess.Popen[bytes], timeout_s: float, output_bytes_max: int
) -> tuple[bytes, bytes, str | None]:
    """Return both streams, or else the reason to kill the program."""
    assert process.stdout is not None  # noqa: S101 - both are pipes
    assert process.stderr is not None  # noqa: S101
    streams = {process.stdout.fileno(): bytearray(), process.stderr.fileno(): bytearray()}
    out, err = streams.values()
    deadline = time.monotonic() + timeout_s
    with selectors.DefaultSelector() as selector:
        for number in streams:
            selector.register(number, selectors.EVENT_READ)
        while selector.get_map():
            remaining = deadline - time.monotonic()
            if remaining <= 0:
                return b"", b"", f"did not end within {timeout_s:g} s"
            for key, _ in selector.select(remaining):
                chunk = os.read(key.fd, _CHUNK)
                if not chunk:
                    selector.unregister(key.fd)
                streams[key.fd] += chunk
            if len(out) + len(err) > output_bytes_max:
                return b"", b"", f"printed more than {output_bytes_max:,} bytes"
    try:
        process.wait(max(deadline - time.monotonic(), 1))
    except subprocess.TimeoutExpired:
        return b"", b"", f"did not end within {timeout_s:g} s"
    return bytes(out), bytes(err), None


def _end(process: subprocess.Popen[bytes]) -> None:
    """Kill the program and its child processes, unless it has exited."""
    if process.returncode is None:  # it was not waited for, so no other process has its pid
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
