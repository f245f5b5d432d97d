"""A Git repository followed by a real instance: a commit is live, a bad one changes nothing."""

import os
import signal
import subprocess
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from local.stack import Stack, free_port, wait_for

SERVER = """\
import http.server, sys

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = sys.argv[2].encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""


class Repository:
    """A repository with one app that answers with a word."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.port = free_port()
        path.mkdir()
        self.git("init", "--quiet", "--initial-branch=main")
        self.git("config", "user.name", "Ada")
        self.git("config", "user.email", "ada@example.org")
        (path / "server.py").write_text(SERVER)
        self.say("one")

    def git(self, *words: str) -> None:
        subprocess.run(["git", "-C", str(self.path), *words], check=True, capture_output=True)

    def say(self, word: str, *, kind: str = "App") -> None:
        (self.path / "app.yaml").write_text(
            f"apiVersion: bateau.dev/v1alpha1\nkind: {kind}\nmetadata: {{name: web}}\nspec:\n"
            f'  command: [python3, server.py, "${{ ports.http }}", {word}]\n  ports: {{http: {{port: {self.port}}}}}\n'
        )
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message", word)

    def answer(self) -> str | None:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}", timeout=5) as response:
                return response.read().decode()
        except (OSError, urllib.error.URLError):
            return None


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return Repository(tmp_path / "acme")


def test_the_commit_is_the_desired_state(stack: Stack, repository: Repository):
    url = f"git+file://{repository.path}@main"
    done = stack.bateau("up", url, "--detach", "--listen", f":{stack.port}")
    assert done.code == 0, done.err
    assert repository.answer() == "one"

    repository.say("two")
    wait_for(lambda: repository.answer() == "two")

    repository.say("three", kind="Ap")
    wait_for(lambda: "which is not known" in stack.bateau("status").out)
    assert repository.answer() == "two"

    repository.git("reset", "--quiet", "--hard", "HEAD~2")
    wait_for(lambda: repository.answer() == "one")

    wait_for(lambda: len(stack.replicas("app/web")) == 1)
    (pid,) = wait_for(lambda: stack.pids("app/web")).values()
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: stack.pids("app/web") and pid not in stack.pids("app/web").values())
    (stack.base / "state/bateau/default/source/server.py").write_text("raise SystemExit(1)")
    repository.say("four")
    wait_for(lambda: repository.answer() == "four")

    wait_for(lambda: stack.bateau("history", "--json").out.count('"healthy"') >= 3)
    lines = stack.bateau("history").out.splitlines()
    assert len(lines) == 5  # the header, and one, two, one again and four: the bad commit never ran


def test_a_repository_that_is_not_there_is_named(stack: Stack, tmp_path: Path):
    done = stack.bateau("up", f"git+file://{tmp_path}/nothing@main", "--detach", "--listen", f":{stack.port}")
    assert done.code == 3
    assert "nothing" in done.err
    assert "Traceback" not in done.err


def test_what_is_no_directory_is_named(stack: Stack):
    done = stack.bateau("up", "nowhere", "--listen", f":{stack.port}")
    assert done.code == 2
    assert "nowhere is no directory" in done.err
