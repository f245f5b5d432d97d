"""A real instance for tests: its own directories, the real Envoy and the real model, through the `bateau` command."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import psutil

READY_S = 90.0

CHAT = """\
apiVersion: bateau.dev/v1alpha1
kind: Model
metadata: {name: chat}
spec:
  source: smollm2
  replicas: 1
  parallel: 4
  contextLength: 512
"""


def free_port() -> int:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Stack:
    """One instance. `cache` is shared between tests, so that the model is fetched once."""

    cache: Path
    base: Path = field(default_factory=lambda: Path(tempfile.mkdtemp(prefix="bt-", dir="/tmp")))
    port: int = field(default_factory=free_port)
    name: str = "default"

    def __post_init__(self) -> None:
        for folder in ("specs", "run", "state"):
            (self.base / folder).mkdir(mode=0o700)

    @property
    def specs(self) -> Path:
        return self.base / "specs"

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def environ(self) -> dict[str, str]:
        mine = {
            "XDG_CACHE_HOME": str(self.cache),
            "XDG_STATE_HOME": str(self.base / "state"),
            "XDG_RUNTIME_DIR": str(self.base / "run"),
            "NO_COLOR": "1",
        }
        return {**os.environ, **mine}

    def write(self, text: str, name: str = "chat.yaml") -> None:
        partial = self.specs / f".{name}.partial"
        partial.write_text(text)
        partial.replace(self.specs / name)

    def bateau(self, *args: str, stdin: str | None = None, timeout_s: float = READY_S, **extra: str) -> "Finished":
        done = subprocess.run(
            [sys.executable, "-m", "bateau", *args],
            env={**self.environ, **extra},
            cwd=self.specs,
            input=stdin,
            stdin=subprocess.DEVNULL if stdin is None else None,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )
        return Finished(done.returncode, done.stdout, done.stderr)

    def begin(self, *args: str) -> subprocess.Popen[str]:
        """Start a command, and leave it running."""
        return subprocess.Popen(
            [sys.executable, "-m", "bateau", *args],
            env=self.environ,
            cwd=self.specs,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def up(self, *args: str) -> "Finished":
        return self.bateau("up", "-C", str(self.specs), "--detach", "--listen", f"127.0.0.1:{self.port}", *args)

    def post(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Return the JSON that the endpoint answers, whatever the status."""
        data = json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data, {"content-type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=READY_S) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            return json.load(error)

    def get(self, path: str) -> dict[str, Any]:
        """Return the JSON that the endpoint answers to a GET."""
        with urllib.request.urlopen(self.url + path, timeout=READY_S) as answer:
            return json.load(answer)

    def status(self) -> dict[str, Any]:
        done = self.bateau("status", "--json")
        assert done.code == 0, done.err
        return json.loads(done.out)

    def ask_status(self) -> dict[str, Any] | None:
        """Return the status over the socket, quicker than a process; None where nobody answers."""
        from bateau.api.client import ApiClient
        from bateau.domain.errors import ControlError
        from bateau.wiring.paths import paths

        try:
            tree = ApiClient(paths(self.name, self.environ).control_socket, instance=self.name).status()
            return cast("dict[str, Any]", tree)
        except ControlError:
            return None

    def replicas(self, service: str = "model/chat") -> list[dict[str, Any]]:
        tree = self.ask_status()
        assert tree is not None
        return [
            replica
            for s in (*tree["services"], tree["gateway"])
            if s["service"] == service
            for replica in s["replicas"]
        ]

    def pids(self, service: str = "model/chat") -> dict[str, int]:
        return {replica["id"]: replica["pid"] for replica in self.replicas(service) if replica["state"] == "Ready"}

    def control_pid(self) -> int:
        tree = self.ask_status()
        assert tree is not None
        return int(tree["pid"])

    def kill_control(self) -> None:
        pid = self.control_pid()
        os.kill(pid, signal.SIGKILL)
        wait_for(lambda: not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)

    def processes(self) -> list[psutil.Process]:
        """Return every process that carries this instance's mark or runs its control plane."""
        mark = str(self.base)
        found: list[psutil.Process] = []
        for process in psutil.process_iter():
            try:
                if process.status() != psutil.STATUS_ZOMBIE and (
                    process.environ().get("XDG_STATE_HOME", "").startswith(mark)
                    or mark in process.environ().get("BATEAU_INSTANCE", "")
                ):
                    found.append(process)
            except psutil.Error:
                continue
        return [process for process in found if process.pid != os.getpid()]

    def destroy(self) -> None:
        self.bateau("down", "--name", self.name)
        left = self.processes()
        for process in left:
            process.kill()
        shutil.rmtree(self.base, ignore_errors=True)
        assert not left, f"left behind: {left}"


@dataclass(frozen=True)
class Finished:
    """What a command did."""

    code: int
    out: str
    err: str


def wait_for(condition: Callable[[], Any], *, timeout_s: float = 30.0, every_s: float = 0.05) -> Any:
    """Return the first true value of `condition`."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if value := condition():
            return value
        time.sleep(every_s)
    raise AssertionError(f"not within {timeout_s} s")


def chat_body(**extra: Any) -> Mapping[str, Any]:
    return {
        "model": "chat",
        "messages": [{"role": "user", "content": "Say something short."}],
        "max_tokens": 8,
        "temperature": 0,
        **extra,
    }
