"""Run kubectl, kustomize or Helm, and take what they print.

Called by kustomize and helm. The one place of this package where a process is started.

Invariant: bounded in time and output; no shell; an environment of our own making, with a home that is empty and goes
away: no credentials, no plug-ins, no cluster, and no way to the network, over HTTP or Git.
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
    """What a program printed. `failed` says why there is nothing to use: its own words, or that it had to be ended."""

    out: str
    failed: str | None = None


def find(name: str, environ: Mapping[str, str]) -> Path | None:
    """Return the path of a program: on PATH, else beside the Python that runs, where wheels put theirs."""
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
    """Run a program in `folder`, and wait for it."""
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
                start_new_session=True,  # what it starts is ended with it
            )
        except OSError as error:
            return Ran("", f"{program.name} does not start: {error.strerror}")
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
        return Ran(text, says or f"{program.name} failed without a word (status {process.returncode})")
    return Ran(text)


def _output(
    process: subprocess.Popen[bytes], timeout_s: float, output_bytes_max: int
) -> tuple[bytes, bytes, str | None]:
    """Read both streams to their end, and return them; or else why the program has to be ended."""
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
                return b"", b"", f"prints more than {output_bytes_max:,} bytes"
    try:
        process.wait(max(deadline - time.monotonic(), 1))
    except subprocess.TimeoutExpired:
        return b"", b"", f"did not end within {timeout_s:g} s"
    return bytes(out), bytes(err), None


def _end(process: subprocess.Popen[bytes]) -> None:
    """Kill the program, unless it has ended by itself, and what it started."""
    if process.returncode is None:  # nobody has waited for it, so that its number is still its own
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
