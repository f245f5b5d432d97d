"""The plan beside a commit, through the real command, a real repository and a server that keeps what it is sent."""

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from answering import answering

HEAD = "apiVersion: bateau.dev/v1alpha1\n"
SHOP = HEAD + "kind: App\nmetadata: {name: shop}\nspec: {image: '${ values.image }', ports: {http: {}}}\n"
CART = SHOP.replace("shop", "cart")
PROD = HEAD + "kind: Environment\nmetadata: {name: prod}\nspec: {values: {image: 'r.example/shop:1.9'}}\n"
RULE = HEAD + (
    "kind: Policy\nmetadata: {name: house}\nspec:\n  match: {kinds: [App]}\n"
    "  rules: [{name: team, check: has(metadata.labels), message: \"'no team'\", severity: error}]\n"
)
FROM_DISK = HEAD + "kind: Model\nmetadata: {name: chat}\nspec: {source: ./chat.gguf}\n"


@dataclass
class ForgeServer:
    """What a forge was sent, as (path, headers, body); `refuses` is the status of every answer, if any."""

    asked: list[tuple[str, dict[str, str], dict[str, Any]]] = field(default_factory=list[Any])
    refuses: int | None = None
    url: str = ""

    async def answer(self, request: web.Request) -> web.Response:
        if request.method == "GET":
            return web.json_response([])
        self.asked.append((request.raw_path, dict(request.headers), await request.json()))
        return web.json_response({}, status=self.refuses or 201)

    @property
    def said(self) -> tuple[str, str]:
        """The state and the description of the one status."""
        ((_, _, body),) = self.asked
        return body["state"], body["description"]


@pytest.fixture
async def forge() -> AsyncGenerator[ForgeServer]:
    made = ForgeServer()
    async with answering(made.answer) as made.url:
        yield made


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    path = tmp_path / "acme"
    path.mkdir()
    git(path, "init", "--quiet", "--initial-branch=main")
    git(path, "config", "user.name", "Ada")
    git(path, "config", "user.email", "ada@example.org")
    commit(path, shop=SHOP, cart=CART, prod=PROD)
    return path


def git(path: Path, *words: str) -> str:
    return subprocess.run(["git", "-C", str(path), *words], check=True, capture_output=True, text=True).stdout.strip()


def write(path: Path, **files: str | None) -> None:
    """Write files (`shop` is shop.yaml); None removes one."""
    for name, text in files.items():
        file = path / f"{name}.yaml"
        file.unlink() if text is None else file.write_text(text)


def commit(path: Path, **files: str | None) -> None:
    write(path, **files)
    git(path, "add", "--all")
    git(path, "commit", "--quiet", "--message", "a change")


async def plan(path: Path, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "bateau", "plan", "--env", "prod", *words]
    environ = {key: value for key, value in os.environ.items() if not key.endswith("_TOKEN")}
    return await asyncio.to_thread(
        subprocess.run, command, cwd=path, env=environ | variables, capture_output=True, text=True, timeout=60
    )  # pyright: ignore[reportReturnType] - text is asked for


async def plan_on_gitea(path: Path, forge: ForgeServer, *words: str) -> int:
    """Plan with a status of pull request 12, and return the exit code."""
    pull_request = f"{forge.url}/org/acme/pulls/12"
    return (await plan(path, *words, "--status", pull_request, GITEA_TOKEN="t0k")).returncode


@pytest.mark.parametrize(
    ("pull_request", "variables", "path", "name", "token"),
    [
        (
            "https://github.com/org/acme/pull/12",
            {"GITHUB_TOKEN": "t0k", "GITHUB_API_URL": "URL"},
            "/repos/org/acme/statuses/",
            "context",
            ("Authorization", "Bearer t0k"),
        ),
        (
            "URL/org/acme/pulls/12",
            {"GITEA_TOKEN": "t0k"},
            "/api/v1/repos/org/acme/statuses/",
            "context",
            ("Authorization", "Bearer t0k"),
        ),
        (
            "URL/org/sub/acme/-/merge_requests/12",
            {"GITLAB_TOKEN": "t0k"},
            "/api/v4/projects/org%2Fsub%2Facme/statuses/",
            "name",
            ("PRIVATE-TOKEN", "t0k"),
        ),
    ],
)
async def test_the_newer_commit_gets_the_status_of_its_environment(
    repository: Path,
    forge: ForgeServer,
    pull_request: str,
    variables: dict[str, str],
    path: str,
    name: str,
    token: tuple[str, str],
):
    commit(repository, shop=SHOP.replace("spec: {", "spec: {replicas: 3, "))
    planned = git(repository, "rev-parse", "HEAD")
    commit(repository, cart=CART.replace("spec: {", "spec: {replicas: 9, "))
    known = {variable: value.replace("URL", forge.url) for variable, value in variables.items()}
    words = ("HEAD~2..HEAD~1", "--status", pull_request.replace("URL", forge.url))
    done = await plan(repository, *words, **known)
    assert done.returncode == 0, done.stderr
    ((asked, headers, body),) = forge.asked
    assert asked == path + planned
    assert body == {name: "bateau/plan prod", "state": "success", "description": "1 service changes, 1 does not"}
    assert headers[token[0]] == token[1]
    assert "t0k" not in asked + str(body) + done.stdout + done.stderr


async def test_without_a_range_head_gets_it(repository: Path, forge: ForgeServer):
    assert await plan_on_gitea(repository, forge) == 0
    assert forge.said == ("success", "no changes")
    assert forge.asked[0][0].endswith(f"/statuses/{git(repository, 'rev-parse', 'HEAD')}")


@pytest.mark.parametrize(
    ("files", "words", "code", "says"),
    [
        ({"shop": SHOP.replace("ports", "prots")}, (), 1, "1 error"),
        ({"shop": SHOP.replace("ports", "prots"), "cart": CART.replace("kind: App", "kind: Ap")}, (), 1, "2 errors"),
        ({"rule": RULE, "shop": SHOP.replace("ports", "prots")}, (), 1, "1 error"),
        ({"rule": RULE}, (), 5, "policy forbids it"),
        ({"prod": PROD.replace("1.9", "latest")}, ("--starter",), 5, "policy forbids it"),
        ({"chat": FROM_DISK}, (), 1, "1 error"),
        ({"shop": None}, (), 1, "5 objects would be removed without confirmation"),
        ({"shop": None}, ("--yes-remove", "2"), 1, "5 objects would be removed without confirmation"),
    ],
    ids=[
        "an error",
        "two errors",
        "an error goes before a policy",
        "a policy over specs",
        "a policy over manifests",
        "a service that cannot be rendered",
        "removals",
        "other removals than agreed to",
    ],
)
async def test_what_may_not_be_delivered_is_a_failure(
    repository: Path, forge: ForgeServer, files: dict[str, str | None], words: tuple[str, ...], code: int, says: str
):
    write(repository, **files)
    assert (await plan_on_gitea(repository, forge, *words), forge.said) == (code, ("failure", says))


async def test_removals_that_are_agreed_to_are_a_success(repository: Path, forge: ForgeServer):
    write(repository, shop=None)
    assert await plan_on_gitea(repository, forge, "--yes-remove", "5") == 0
    assert forge.said == ("success", "1 service changes, 1 does not")


async def test_the_comment_goes_with_the_status(repository: Path, forge: ForgeServer):
    write(repository, prod=PROD.replace("1.9", "2.0"))
    pull_request = f"{forge.url}/org/acme/pulls/12"
    done = await plan(repository, "--status", pull_request, "--comment", pull_request, GITEA_TOKEN="t0k")
    assert done.returncode == 0, done.stderr
    status, comment = [body for _, _, body in forge.asked]
    assert status["description"] == "2 services change, 0 do not"
    assert "1.9 -> r.example/shop:2.0" in comment["body"]


async def test_a_status_that_is_refused_is_said_after_the_plan(repository: Path, forge: ForgeServer):
    forge.refuses = 403
    done = await plan(repository, "--status", f"{forge.url}/org/acme/pulls/12", GITEA_TOKEN="t0k")
    assert done.returncode == 3
    assert "nothing changes" in done.stdout
    assert "HTTP 403" in done.stderr
    assert "allowed to write commit statuses" in done.stderr


async def test_without_a_token_it_is_said(repository: Path):
    done = await plan(repository, "--status", "https://github.com/org/acme/pull/12")
    assert done.returncode == 3
    assert "GITHUB_TOKEN is not set" in done.stderr
