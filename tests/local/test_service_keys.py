"""Apps ask the models that they use with keys of their own."""

import json
import os
import sys
from pathlib import Path

import psutil

from local.stack import CHAT, Stack, wait_for
from local.test_keys import create

APP = """\
apiVersion: bateau.dev/v1alpha1
kind: App
metadata: {{name: shop}}
spec:
  command: [{python}, {program}, "${{ ports.http }}"]
  ports: {{http: {{protocol: http}}}}
  uses: [model/chat]
"""
# It asks the model that is in its path, and answers the status.
PROGRAM = """\
import http.server, json, os, sys, urllib.error, urllib.request

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = json.dumps({"model": self.path[1:], "max_tokens": 1, "messages": [{"role": "user", "content": "hi"}]})
        headers = {"content-type": "application/json", "authorization": "Bearer " + os.environ["BATEAU_CHAT_KEY"]}
        request = urllib.request.Request(os.environ["BATEAU_CHAT_URL"] + "/chat/completions", body.encode(), headers)
        try:
            status = urllib.request.urlopen(request).status
        except urllib.error.HTTPError as error:
            status = error.code
        self.send_response(200)
        self.end_headers()
        self.wfile.write(str(status).encode())

http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""


def test_an_app_may_ask_the_models_that_it_uses_and_no_other(stack: Stack) -> None:
    program = stack.specs / "shop.py"
    program.write_text(PROGRAM)
    stack.write(CHAT + "  servedNames: [gpt-4o-mini]\n")
    stack.write(CHAT.replace("name: chat", "name: other"), "other.yaml")
    stack.write(APP.format(python=sys.executable, program=program), "shop.yaml")
    assert stack.up().code == 0
    assert _asks(stack) == {"chat": "200", "gpt-4o-mini": "200", "other": "200"}  # nobody needs a key yet
    (pid,) = stack.pids("app/shop").values()
    create(stack, "ci")
    wait_for(lambda: _asks(stack)["other"] == "403", timeout_s=5)
    assert _asks(stack) == {"chat": "200", "gpt-4o-mini": "200", "other": "403"}
    # The next control plane knows the same key, so the app runs on.
    stack.kill_control()
    assert stack.up().code == 0
    assert _asks(stack)["chat"] == "200"
    assert list(stack.pids("app/shop").values()) == [pid]
    for by in ("key", "owner"):
        assert "app/shop" in stack.bateau("usage", "--by", by).out
    # Its secret is in its environment, and nowhere else that can be read.
    secret = psutil.Process(pid).environ()["BATEAU_CHAT_KEY"]
    assert secret not in json.dumps(stack.status())
    assert all(secret not in " ".join(process.cmdline()) for process in stack.processes())
    written = [Path(folder) / name for folder, _, names in os.walk(stack.base) for name in names]
    assert not [path for path in written if path.is_file() and secret.encode() in path.read_bytes()]
    # Without the app, its key is refused.
    (stack.specs / "shop.yaml").unlink()
    wait_for(lambda: "app/shop" not in (stack.base / "state/bateau/default/service-keys.json").read_text())


def _asks(stack: Stack) -> dict[str, str]:
    import urllib.request

    tree = stack.ask_status()
    assert tree is not None
    (address,) = [each["address"] for each in tree["services"] if each["service"] == "app/shop"]

    def ask(model: str) -> str:
        with urllib.request.urlopen(f"{address}/{model}", timeout=60) as answer:
            return answer.read().decode()

    return {model: ask(model) for model in ("chat", "gpt-4o-mini", "other")}
