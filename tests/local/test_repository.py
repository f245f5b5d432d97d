"""A Git repository followed by a real instance: a commit is live, a bad one changes nothing."""

import asyncio
import json
import os
import signal
import subprocess
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import psutil
import pytest

from git.bridge import bridge_to
from git.deliveries import Delivery, push
from local.stack import Stack, free_port, wait_for

SECRET = "a secret of the forge's"  # noqa: S105 - of this test

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


def test_only_signed_commits_are_followed_where_that_is_asked_for(stack: Stack, repository: Repository, tmp_path: Path):
    key = tmp_path / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    signers = tmp_path / "signers"
    signers.write_text(f"ada@example.org {key.with_suffix('.pub').read_text()}")
    url = f"git+file://{repository.path}@main"
    unsigned = stack.bateau("up", url, "--allowed-signers", str(signers), "--detach", "--listen", f":{stack.port}")
    assert unsigned.code == 3
    assert "is not signed" in unsigned.err
    repository.git("config", "gpg.format", "ssh")
    repository.git("config", "user.signingKey", str(key))
    repository.git("commit", "--quiet", "--amend", "--no-edit", "-S")
    signed = stack.bateau("up", url, "--allowed-signers", str(signers), "--detach", "--listen", f":{stack.port}")
    assert signed.code == 0, signed.err
    assert repository.answer() == "one"


def posted(stack: Stack, delivery: Delivery) -> tuple[int, dict[str, Any]]:
    request = urllib.request.Request(f"{stack.url}/-/webhooks/git", data=delivery.body, headers=dict(delivery.headers))
    try:
        with urllib.request.urlopen(request, timeout=10) as response:
            return response.status, json.load(response)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


async def test_a_push_is_live_at_once_where_the_forge_says_so(stack: Stack, repository: Repository):
    """Over http the repository is fetched once a minute, so a commit that is live within seconds came by webhook."""
    async with bridge_to(repository.path.parent) as bridge:
        words = ("up", f"git+http://ada:hunter2@{bridge.url}@main", "--detach", "--listen", f":{stack.port}")
        done = await asyncio.to_thread(stack.bateau, *words, BATEAU_WEBHOOK_SECRET=SECRET)
        assert done.code == 0, done.err
        assert repository.answer() == "one"

        repository.say("two")
        asked = len(bridge.asked)
        forged = push("refs/heads/main", secret="guess")
        assert await asyncio.to_thread(posted, stack, forged) == (401, {"says": "the signature is wrong"})
        await asyncio.sleep(2)
        assert (len(bridge.asked), repository.answer()) == (asked, "one")

        status, tree = await asyncio.to_thread(posted, stack, push("refs/heads/main", secret=SECRET))
        assert (status, tree) == (202, {"says": "main was pushed and is fetched"})
        await asyncio.to_thread(wait_for, lambda: repository.answer() == "two", timeout_s=20)

        for service in ("app/web", "gateway/envoy"):
            for replica in stack.replicas(service):
                assert SECRET not in psutil.Process(replica["pid"]).environ().values()
        assert SECRET not in await asyncio.to_thread((stack.base / "state/bateau/default/control.log").read_text)


def test_where_a_directory_is_served_a_push_is_an_event_only(stack: Stack):
    stack.write("apiVersion: bateau.dev/v1alpha1\nkind: App\nmetadata: {name: idle}\nspec: {command: [sleep, '60']}\n")
    done = stack.bateau(
        "up", "-C", str(stack.specs), "--detach", "--listen", f":{stack.port}", BATEAU_WEBHOOK_SECRET=SECRET
    )
    assert done.code == 0, done.err
    answer = posted(stack, push("refs/heads/main", secret=SECRET))
    assert answer == (200, {"says": "main was pushed, but no repository is followed"})


def test_a_repository_that_is_not_there_is_named(stack: Stack, tmp_path: Path):
    done = stack.bateau("up", f"git+file://{tmp_path}/nothing@main", "--detach", "--listen", f":{stack.port}")
    assert done.code == 3
    assert "nothing" in done.err
    assert "Traceback" not in done.err


def test_a_directory_that_does_not_exist_is_named_and_one_as_an_argument_is_answered_with_the_option(stack: Stack):
    done = stack.bateau("up", "-C", "nowhere", "--listen", f":{stack.port}")
    assert done.code == 2
    assert "Directory 'nowhere' does not exist" in done.err
    done = stack.bateau("up", "specs", "--listen", f":{stack.port}")
    assert done.code == 2
    assert "specs is not a Git URL (git+https://... or git+file://...); a directory is -C specs" in done.err
