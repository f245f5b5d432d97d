"""Receivers of alerts for tests: a real web server for webhooks, and a real Alertmanager."""

import contextlib
import http.server
import json
import subprocess
import threading
import urllib.request
from collections.abc import Generator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from local.stack import free_port, wait_for

ROOT = Path(__file__).parent.parent.parent


@dataclass
class Hook:
    """What a webhook has received: the headers and the JSON of each request. `status` is that of the answers."""

    url: str = ""
    status: int = 200
    headers: list[dict[str, str]] = field(default_factory=list[dict[str, str]])
    bodies: list[bytes] = field(default_factory=list[bytes])

    @property
    def trees(self) -> list[dict[str, Any]]:
        return [json.loads(body) for body in self.bodies]

    def told(self, name: str) -> list[str]:
        """Return the states of an alert, in the order in which they came."""
        found = [alert for tree in self.trees for alert in tree["alerts"]]
        return [alert["status"] for alert in found if alert["labels"]["alertname"] == name]

    def cause(self, name: str) -> str:
        found = [alert for tree in self.trees for alert in tree["alerts"]]
        return next(each["annotations"].get("cause", "") for each in found if each["labels"]["alertname"] == name)


@contextlib.contextmanager
def webhook() -> Generator[Hook]:
    """A web server that keeps what it is sent."""
    hook = Hook()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            if hook.status < 300:
                hook.headers.append({name.lower(): value for name, value in self.headers.items()})
                hook.bodies.append(body)
            self.send_response(hook.status)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name in http.server
            del format, args

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    hook.url = f"http://127.0.0.1:{server.server_address[1]}/hook"
    try:
        yield hook
    finally:
        server.shutdown()
        server.server_close()


@cache
def alertmanager_program() -> str:
    """Return the program, or skip the test if there is none."""
    done = subprocess.run([str(ROOT / ".ci/alertmanager")], cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"Alertmanager cannot be fetched: {done.stderr[-300:]}")
    return done.stdout.split()[-1]


@dataclass
class Alertmanager:
    """An Alertmanager, which tells `hook` what it was told."""

    url: str
    hook: Hook

    def alerts(self) -> list[dict[str, Any]]:
        with urllib.request.urlopen(f"{self.url}/api/v2/alerts", timeout=10) as answer:
            return json.load(answer)


@contextlib.contextmanager
def alertmanager(folder: Path) -> Generator[Alertmanager]:
    """A real Alertmanager, with a webhook as its receiver."""
    program = alertmanager_program()
    with webhook() as hook:
        config = {
            "route": {"receiver": "hook", "group_by": ["..."], "group_wait": "0s", "group_interval": "1s"},
            "receivers": [{"name": "hook", "webhook_configs": [{"url": hook.url, "send_resolved": True}]}],
        }
        (folder / "alertmanager.yml").write_text(json.dumps(config))
        port = free_port()
        arguments = [
            f"--config.file={folder / 'alertmanager.yml'}",
            f"--storage.path={folder / 'alertmanager'}",
            f"--web.listen-address=127.0.0.1:{port}",
            "--cluster.listen-address=",
        ]
        process = subprocess.Popen([program, *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        made = Alertmanager(url=f"http://127.0.0.1:{port}", hook=hook)
        try:
            wait_for(lambda: _answers(made.url))
            yield made
        finally:
            process.kill()
            process.wait()


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/-/ready", timeout=1) as answer:
            return answer.status == 200
    except OSError:
        return False
