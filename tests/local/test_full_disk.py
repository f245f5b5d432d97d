"""A full disk below a real instance: clients, status and edits; and everything is well once there is room (A21)."""

import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from full_disk import fill, small_disk
from local.stack import Stack, wait_for

SERVER = """\
import os
from http.server import BaseHTTPRequestHandler, HTTPServer

class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        print("x" * 9000, flush=True)
        self.send_response(200)
        self.send_header("content-length", "2")
        self.end_headers()
        self.wfile.write(b"ok")
    def log_message(self, *_):
        pass

class Server(HTTPServer):
    def handle_error(self, *_):
        pass  # as a traceback would be printed to the log, too

Server(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
"""
APP = """\
apiVersion: bateau.dev/v1alpha1
kind: App
metadata: {name: talk}
spec:
  command: [python3, server.py]
  ports: {http: {protocol: http}}
  env: {VERSION: one}
"""


@pytest.fixture
def disk(stack: Stack) -> Iterator[Path]:
    with small_disk(stack.base / "state", mib=60) as mounted:
        yield mounted
        stack.bateau("down")


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            return answer.status == 200
    except (OSError, urllib.error.HTTPError):
        return False


def test_a_full_disk_is_named_replicas_continue_and_all_is_well_once_there_is_room(stack: Stack, disk: Path):
    """A21."""
    (stack.specs / "server.py").write_text(SERVER)
    stack.write(APP)
    done = stack.up()
    assert done.code == 0, done.err
    tree = stack.ask_status()
    assert tree is not None
    url = tree["services"][0]["address"]
    before = stack.pids("app/talk")
    filler = fill(disk)
    assert not answers(url), "the app cannot print, which is the app's own failure"
    full = f"the disk at {disk}, which holds {disk}/bateau/default, is full: 0 B of 60 MiB are free"
    wait_for(lambda: full in stack.bateau("status").out, every_s=1.0)
    told = stack.bateau("status").out
    assert "hint: free some space; replicas continue" in told
    stack.write(APP.replace("one", "two"))
    wait_for(lambda: "the state of this instance is not saved" in stack.bateau("status").out, every_s=1.0)
    told = stack.bateau("status").out
    assert "No space left on device" in told
    assert "The specs" not in told
    assert stack.pids("app/talk") == before, "the new revision cannot be started, and the old one stays"
    filler.unlink()
    wait_for(lambda: "full" not in stack.bateau("status").out, every_s=1.0, timeout_s=60)
    wait_for(lambda: set(stack.pids("app/talk").values()).isdisjoint(before.values()), timeout_s=90)
    wait_for(lambda: answers(url))
    wait_for(lambda: "warning" not in stack.bateau("status").out, every_s=1.0, timeout_s=60)


def test_the_end_works_on_a_full_disk(stack: Stack, disk: Path):
    """A21."""
    (stack.specs / "server.py").write_text(SERVER)
    stack.write(APP)
    assert stack.up().code == 0
    fill(disk)
    done = stack.bateau("down")
    assert done.code == 0, done.err
    assert stack.processes() == []


def test_the_status_cuts_long_lines_of_a_log(stack: Stack):
    """A21."""
    stack.write(APP.replace("python3, server.py", "python3, -c, 'print(\"y\" * 5000); raise SystemExit(1)'"))
    assert stack.up().code == 3
    told = stack.bateau("status").out
    assert "y" * 200 + "..." in told
    assert max(map(len, told.splitlines())) < 300
