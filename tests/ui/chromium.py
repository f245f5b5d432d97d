"""A real Chromium, and a real instance with its gateway whose replicas write what they should not."""

import contextlib
import http.server
import json
import os
import subprocess
import threading
from collections.abc import Generator
from functools import cache
from pathlib import Path
from typing import Any, cast

import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, sync_playwright

from local.stack import Stack, wait_for

ROOT = Path(__file__).parent.parent.parent
SCRIPT = "<img src=x onerror=\"document.title='owned'\"><script>document.title='owned'</script>"
ARGUMENTS = [
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync", "--disable-dev-shm-usage"),
]
SPECS = """\
apiVersion: bateau.dev/v1alpha1
kind: Model
metadata: {{name: big, labels: {{team: {label}}}}}
spec: {{engine: external, source: "{url}/v1", external: {{model: other}}}}
---
apiVersion: bateau.dev/v1alpha1
kind: App
metadata: {{name: shop}}
spec:
  command: [python3, -u, -c, {program}, "${{ ports.http }}"]
  ports: {{http: {{protocol: http}}}}
  uses: [model/big]
  env: {{GREETING: {label}, API_TOKEN: a-secret}}
"""
PROGRAM = f"""\
import http.server, sys
print({SCRIPT!r})
class Handler(http.server.SimpleHTTPRequestHandler):
    def do_GET(self):
        print("asked for", self.path)
        self.send_response(200); self.send_header("content-length", "0"); self.end_headers()
http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""


@cache
def installed() -> tuple[str, Path]:
    """The browser, and axe-core's script. Without them the test is skipped, and fails in CI."""
    done = subprocess.run([str(ROOT / ".ci/browser")], cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        assert os.environ.get("CI") != "true", done.stderr
        pytest.skip(f"the browser cannot be installed: {done.stderr[-300:]}")
    browser, axe = done.stdout.split()[-2:]
    return browser, Path(axe)


@contextlib.contextmanager
def chromium() -> Generator[Browser]:
    browser, _ = installed()
    with sync_playwright() as playwright:
        made = playwright.chromium.launch(executable_path=browser, args=ARGUMENTS)
        try:
            yield made
        finally:
            made.close()


class _Answers(http.server.BaseHTTPRequestHandler):
    """An OpenAI-compatible API whose only answer is a script."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.end_headers()
        for piece in (SCRIPT[:20], SCRIPT[20:]):
            self._event({"choices": [{"index": 0, "delta": {"content": piece}}]})
        usage = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
        self._event({"choices": [], "usage": usage})
        self.wfile.write(b"data: [DONE]\n\n")

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name of the base class
        """Write nothing."""

    def _event(self, tree: dict[str, Any]) -> None:
        self.wfile.write(f"data: {json.dumps(tree)}\n\n".encode())
        self.wfile.flush()


@contextlib.contextmanager
def instance(cache_folder: Path) -> Generator[Stack]:
    """Run an instance with an app, and with a model that is served elsewhere."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Answers)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    made = Stack(cache_folder)
    try:
        url = f"http://127.0.0.1:{server.server_address[1]}"
        made.write(SPECS.format(url=url, label=json.dumps(SCRIPT), program=json.dumps(PROGRAM)))
        done = made.up()
        assert done.code == 0, done.err
        yield made
    finally:
        made.destroy()
        server.shutdown()
        server.server_close()


def link_of(stack: Stack, *arguments: str) -> str:
    """Return a new link, as a person would."""
    done = stack.bateau("open", *arguments)
    assert done.code == 0, done.err
    (line,) = done.out.splitlines()
    return line


class Visitor:
    """A person with a browser of its own, who has signed in. Errors of scripts and of the policy are collected."""

    def __init__(self, browser: Browser, stack: Stack, role: str = "admin", **options: Any) -> None:
        self.stack = stack
        self.context: BrowserContext = browser.new_context(**options)
        self.page: Page = self.context.new_page()
        self.complaints: list[str] = []
        self.page.on("console", self._note)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.goto(link_of(stack, "--role", role))
        self.page.wait_for_url(f"{stack.url}/ui/")

    def visit(self, path: str) -> Page:
        """Open a page, and wait until it is live."""
        self.page.goto(f"{self.stack.url}/ui{path}")
        self.live()
        return self.page

    def _note(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            self.complaints.append(message.text)

    def live(self) -> None:
        self.page.locator("#live[data-state=live]").wait_for()


def axe_findings(page: Page) -> list[str]:
    """Return the violations of WCAG 2.2 AA that axe-core finds."""
    # The policy of the page lets no script in, so axe runs through the debugger.
    session = cast("Any", page.context.new_cdp_session(page))
    session.send("Runtime.evaluate", {"expression": installed()[1].read_text(encoding="utf-8")})
    tags = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
    expression = f"axe.run(document, {{runOnly: {json.dumps(tags)}}}).then((found) => JSON.stringify(found.violations))"
    asked = {"expression": expression, "awaitPromise": True, "returnByValue": True}
    done = session.send("Runtime.evaluate", asked)
    violations: list[dict[str, Any]] = json.loads(done["result"]["value"])
    return [f"{each['id']}: {node['html'][:160]}" for each in violations for node in each["nodes"]]


__all__ = ["SCRIPT", "Visitor", "axe_findings", "chromium", "instance", "link_of", "wait_for"]
