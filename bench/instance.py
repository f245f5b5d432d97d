"""A real instance to measure: its own directories and port, through the `bateau` command.

Used by the benchmarks.

Invariant: no instance outlives its benchmark, whether that ends by itself, by Ctrl-C or by SIGTERM. Held by
tests/local/test_benchmark_ends.py::test_an_instance_goes_down_with_a_benchmark_that_is_terminated.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from bateau.wiring.listen import free_port

SPEC = """\
apiVersion: bateau.dev/v1alpha1
kind: Model
metadata: {name: chat}
spec: {source: smollm2, parallel: 4, contextLength: 2048}
"""


class Instance:
    """An instance with the given files, one chat model unless told otherwise; the model's cache is the user's own."""

    def __init__(self, files: Mapping[str, str] | None = None) -> None:
        self.base = Path(tempfile.mkdtemp(prefix="bench-", dir="/tmp"))
        self.port = free_port()
        for folder in ("specs", "run", "state", "programs"):
            (self.base / folder).mkdir(mode=0o700)
        for name, text in (files or {"chat.yaml": SPEC}).items():
            (self.base / "specs" / name).write_text(text)

    @property
    def environ(self) -> dict[str, str]:
        """The environment of its commands."""
        return {
            **os.environ,
            "PATH": f"{self.programs}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
            "XDG_STATE_HOME": str(self.base / "state"),
            "XDG_RUNTIME_DIR": str(self.base / "run"),
        }

    @property
    def programs(self) -> Path:
        """A directory that its PATH begins with."""
        return self.base / "programs"

    def bateau(self, *arguments: str) -> str:
        """Run a command and return what it prints. Raises CalledProcessError."""
        command = [sys.executable, "-m", "bateau", *arguments]
        return subprocess.run(command, env=self.environ, check=True, capture_output=True, text=True).stdout

    def up(self) -> float:
        """Bring it up; return the seconds that took."""
        started = time.perf_counter()
        self.bateau("up", "-C", str(self.base / "specs"), "--detach", "--listen", str(self.port))
        return time.perf_counter() - started

    def key(self) -> str:
        """Create a key with limits that no benchmark reaches, and return its secret; from now on requests need it."""
        limits = ("--requests-per-minute", "1000000000", "--tokens-per-day", "1000G")
        return self.bateau("keys", "create", "bench", "--models", "ch*", "--expires", "90d", *limits).strip()

    def status(self) -> dict[str, Any]:
        """Return its status."""
        return json.loads(self.bateau("status", "--json"))

    def replica_socket(self) -> str:
        """Return the socket of the model's replica."""
        (service,) = self.status()["services"]
        return str(service["replicas"][0]["addresses"]["socket"])

    def __enter__(self) -> Self:
        # As for Ctrl-C: the instance goes down with the benchmark that is ended.
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.bateau("down")
        shutil.rmtree(self.base, ignore_errors=True)
