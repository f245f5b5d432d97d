"""Faults of a real instance: the alert names the cause, and each receiver hears of it once, and of its end once."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Generator
from pathlib import Path
from typing import Any, cast

from bateau.api.client import ApiClient
from bateau.domain.errors import ControlError
from bateau.wiring.paths import paths
from local.alert_peers import Hook, alertmanager, webhook
from local.stack import CHAT, Stack, wait_for

BROKEN = CHAT.replace("name: chat", "name: broken").replace("source: smollm2", "source: http://127.0.0.1:9/no.gguf")
SLOW_S = 90.0
PROGRAM = Path(__file__).parent / "short_alerts.py"


@contextlib.contextmanager
def serving(stack: Stack, *receivers: str) -> Generator[subprocess.Popen[str]]:
    """Run a control plane with short rules. It is killed at the end, and its replicas continue."""
    command = [sys.executable, str(PROGRAM), "up", "-C", str(stack.specs), "--listen", f"127.0.0.1:{stack.port}"]
    environ = {**stack.environ, **dict(each.split("=", 1) for each in receivers)}
    with (stack.base / "up.log").open("a") as log:
        process = subprocess.Popen(command, env=environ, stdin=subprocess.DEVNULL, stdout=log, stderr=log, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def listed(stack: Stack, kind: str = "alerts") -> dict[str, dict[str, Any]]:
    """Return the alerts by name; asked over the socket, which is faster than a process."""
    try:
        tree = ApiClient(paths(stack.name, stack.environ).control_socket, instance=stack.name).alerts()
    except ControlError:
        return {}
    return {each["name"]: each for each in cast("list[dict[str, Any]]", tree[kind])}


def settled(stack: Stack) -> bool:
    tree = stack.ask_status()
    return tree is not None and bool(tree["settled"])


def told(hook: Hook, name: str, *states: str) -> None:
    wait_for(lambda: len(hook.told(name)) >= len(states), timeout_s=SLOW_S)
    assert hook.told(name) == [*states]


def test_a_broken_source_is_told_once_and_so_is_its_end_although_the_control_plane_is_killed(
    stack: Stack, tmp_path: Path
):
    stack.write(BROKEN, "broken.yaml")
    with webhook() as hook, alertmanager(tmp_path) as manager:
        receivers = (f"BATEAU_ALERTS_WEBHOOK_URL={hook.url}", f"BATEAU_ALERTS_ALERTMANAGER_URL={manager.url}")
        with serving(stack, *receivers):
            alert = wait_for(lambda: listed(stack).get("BateauFetchFailed"), timeout_s=SLOW_S)
            assert alert["service"] == "model/broken"
            assert "http://127.0.0.1:9/no.gguf cannot be reached: Connection refused" in alert["cause"]
            assert alert["link"] == f"{stack.url}/ui/services/model/broken"
            told(hook, "BateauFetchFailed", "firing")
            told(manager.hook, "BateauFetchFailed", "firing")
        with serving(stack, *receivers):
            wait_for(lambda: settled(stack), timeout_s=SLOW_S)
            assert "BateauFetchFailed" in listed(stack)
        stack.write(BROKEN.replace("http://127.0.0.1:9/no.gguf", "smollm2"), "broken.yaml")
        with serving(stack, *receivers):
            told(hook, "BateauFetchFailed", "firing", "resolved")
            told(manager.hook, "BateauFetchFailed", "firing", "resolved")
            assert "Connection refused" in manager.hook.cause("BateauFetchFailed")
            assert "BateauFetchFailed" in listed(stack, "ended")
        found = stack.bateau("timeline", "broken", "--json")
    mine = [each for each in json.loads(found.out) if each["fields"].get("alert") == "BateauFetchFailed"]
    assert [each["reason"] for each in mine] == ["AlertFiring", "AlertResolved"]


def test_a_replica_that_is_killed_again_and_again_is_a_restart_loop_with_its_cause(stack: Stack):
    with webhook() as hook, serving(stack, f"BATEAU_ALERTS_WEBHOOK_URL={hook.url}"):
        wait_for(lambda: settled(stack) and stack.pids(), timeout_s=SLOW_S)
        for count in range(1, 4):
            os.kill(stack.replicas()[0]["pid"], signal.SIGKILL)
            wait_for(lambda c=count: stack.replicas()[0]["restarts"] == c and stack.pids(), timeout_s=SLOW_S)
        alert = wait_for(lambda: listed(stack).get("BateauRestartLoop"))
        assert "model.chat.0 Restarted: killed by signal 9 (SIGKILL)" in alert["cause"]
        told(hook, "BateauRestartLoop", "firing", "resolved")
        assert "killed by signal 9" in hook.cause("BateauRestartLoop")
        assert hook.trees[0]["groupLabels"] == {"service": "model/chat"}


APP = """\
apiVersion: bateau.dev/v1alpha1
kind: App
metadata: {name: shop}
spec:
  command: [python3, -c, PROGRAM, "${ ports.http }"]
  ports: {http: {protocol: http}}
  resources: {memory: 64Mi}
"""
# Answers, and takes 100 MB more when it is asked to.
HUNGRY = """\
import http.server, sys
kept = []
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path == "/eat": kept.append(bytearray(100_000_000))
        if self.path == "/free": kept.clear()
        self.send_response(500 if self.path == "/fail" else 200)
        self.end_headers()
http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""


def asked(url: str) -> int:
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code


def test_memory_that_fills_and_requests_that_fail_are_told_and_end(stack: Stack):
    (stack.specs / "chat.yaml").unlink()
    stack.write(APP.replace("PROGRAM", json.dumps(HUNGRY)), "shop.yaml")
    with webhook() as hook, serving(stack, f"BATEAU_ALERTS_WEBHOOK_URL={hook.url}"):
        tree = wait_for(lambda: settled(stack) and stack.ask_status(), timeout_s=SLOW_S)
        address = next(each["address"] for each in tree["services"] if each["service"] == "app/shop")
        assert asked(f"{address}/eat") == 200
        alert = wait_for(lambda: listed(stack).get("BateauMemoryNearLimit"), timeout_s=SLOW_S)
        assert "of its limit" in alert["says"]
        for _ in range(40):
            assert asked(f"{address}/fail") == 500
        pid = stack.replicas("app/shop")[0]["pid"]
        os.kill(pid, signal.SIGKILL)
        alert = wait_for(lambda: listed(stack).get("BateauErrorBudgetBurn"), timeout_s=SLOW_S)
        assert alert["service"] == "app/shop"
        assert "failed" in alert["says"]
        assert "app.shop.0 Restarted: killed by signal 9 (SIGKILL)" in alert["cause"]
        told(hook, "BateauMemoryNearLimit", "firing", "resolved")
        told(hook, "BateauErrorBudgetBurn", "firing", "resolved")
