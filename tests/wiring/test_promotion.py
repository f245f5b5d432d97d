"""Promotion, and the plan on a pull request, through the real command, a real repository and a real HTTP server."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest
from aiohttp import web

HEAD = "apiVersion: bateau.dev/v1alpha1\n"
SHOP = HEAD + "kind: App\nmetadata: {name: shop}\nspec: {image: '${ values.shop.image }', ports: {http: {}}}\n"


def environment(name: str, tag: str) -> str:
    return (
        f"{HEAD}kind: Environment\nmetadata: {{name: {name}}}\n"
        f"spec:\n  values:\n    shop:\n      image: r.example/shop:{tag}  # seen by customers\n"
    )


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    path = tmp_path / "acme"
    path.mkdir()
    for name, text in {
        "shop.yaml": SHOP,
        "staging.yaml": environment("staging", "2.0"),
        "prod.yaml": environment("prod", "1.9"),
    }.items():
        (path / name).write_text(text)
    git(path, "init", "--quiet", "--initial-branch=main")
    git(path, "config", "user.name", "Ada")
    git(path, "config", "user.email", "ada@example.org")
    git(path, "add", "--all")
    git(path, "commit", "--quiet", "--message", "one")
    return path


def git(path: Path, *words: str) -> str:
    return subprocess.run(["git", "-C", str(path), *words], check=True, capture_output=True, text=True).stdout


def bateau(path: Path, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "bateau", *words]
    environ = {key: value for key, value in os.environ.items() if key != "GITHUB_TOKEN"}
    return subprocess.run(
        command, cwd=path, env={**environ, **variables}, check=False, capture_output=True, text=True, timeout=60
    )


def test_what_staging_pins_becomes_a_commit_for_prod_and_nothing_else_moves(repository: Path):
    done = bateau(repository, "promote", "shop", "staging", "prod", "--branch", "release")
    assert done.returncode == 0, done.stderr
    assert "values.shop.image: r.example/shop:1.9 -> r.example/shop:2.0" in done.stdout
    assert git(repository, "show", "release:prod.yaml") == environment("prod", "2.0")
    assert git(repository, "status", "--porcelain") == ""
    assert git(repository, "branch", "--show-current").strip() == "main"

    plan = bateau(repository, "plan", "--env", "prod", "HEAD..release", "--exit-code")
    assert plan.returncode == 4, plan.stderr
    assert "image r.example/shop:1.9 -> r.example/shop:2.0" in plan.stdout
    assert "prod.yaml:7" in plan.stdout


def test_a_byte_that_is_not_utf_8_is_told_from_disk_and_from_a_commit(repository: Path):
    prod = repository / "prod.yaml"
    prod.write_bytes(prod.read_bytes().replace(b"customers", b"K\xe4ufern"))
    told = "prod.yaml:7:45  the byte 0xE4 is not UTF-8"
    on_disk = bateau(repository, "check")
    assert on_disk.returncode == 1
    assert told in on_disk.stdout + on_disk.stderr
    git(repository, "commit", "--quiet", "--all", "--message", "two")
    committed = bateau(repository, "plan", "--env", "prod", "HEAD~1..HEAD")
    assert committed.returncode == 1
    assert told in committed.stderr


def test_promoting_twice_has_nothing_to_do(repository: Path):
    (repository / "prod.yaml").write_text(environment("prod", "2.0"))
    git(repository, "commit", "--quiet", "--all", "--message", "two")
    done = bateau(repository, "promote", "all", "staging", "prod")
    assert (done.returncode, "nothing to promote" in done.stdout) == (0, True)


@pytest.fixture
def overlays(tmp_path: Path) -> Path:
    """A kustomization with an overlay per environment, which pins the image."""
    path = tmp_path / "overlays"
    (path / "base").mkdir(parents=True)
    (path / "base/kustomization.yaml").write_text("resources: [d.yaml]\n")
    (path / "base/d.yaml").write_text(
        "apiVersion: v1\nkind: Pod\nmetadata: {name: web}\n"
        "spec: {containers: [{name: web, image: r.example/web:0.1}]}\n"
    )
    (path / "app.yaml").write_text(
        f"{HEAD}kind: App\nmetadata: {{name: shop}}\nspec: {{kustomization: '${{ environment.name }}'}}\n"
    )
    for name, tag in (("staging", "2.0"), ("prod", "1.0")):
        (path / name).mkdir()
        (path / name / "kustomization.yaml").write_text(overlay(name, tag))
        (path / f"{name}.yaml").write_text(f"{HEAD}kind: Environment\nmetadata: {{name: {name}}}\nspec: {{}}\n")
    git(path, "init", "--quiet", "--initial-branch=main")
    git(path, "config", "user.name", "Ada")
    git(path, "config", "user.email", "ada@example.org")
    git(path, "add", "--all")
    git(path, "commit", "--quiet", "--message", "one")
    return path


def overlay(name: str, tag: str | None) -> str:
    images = "" if tag is None else f'images:\n  - name: r.example/web\n    newTag: "{tag}"  # pinned\n'
    return f"resources: [../base]\nnamePrefix: {name}-\n{images}"


def test_what_an_overlay_pins_is_promoted_in_the_overlay(overlays: Path):
    """F21: `prod pins what staging pins: nothing to promote` was not true."""
    done = bateau(overlays, "promote", "shop", "staging", "prod", "--branch", "release")
    assert done.returncode == 0, done.stderr
    assert "~ prod/kustomization.yaml: images[0].newTag: 1.0 -> 2.0" in done.stdout
    assert git(overlays, "show", "release:prod/kustomization.yaml") == overlay("prod", "2.0")
    assert git(overlays, "diff", "--name-only", "main", "release").split() == ["prod/kustomization.yaml"]
    git(overlays, "switch", "--quiet", "release")
    again = bateau(overlays, "promote", "shop", "staging", "prod")
    assert (again.returncode, "nothing to promote" in again.stdout) == (0, True)


def test_a_version_that_cannot_be_promoted_is_named_with_both_places(overlays: Path):
    """F21: prod has no entry that could be changed, and its image comes from the base that staging uses as well."""
    (overlays / "prod/kustomization.yaml").write_text(overlay("prod", None))
    git(overlays, "commit", "--quiet", "--all", "--message", "two")
    done = bateau(overlays, "promote", "shop", "staging", "prod")
    assert (done.returncode, done.stdout) == (1, "")
    assert "Pod prod-web: image r.example/web:0.1 at base/d.yaml:4:" in done.stderr
    assert "staging has r.example/web:2.0 at staging/kustomization.yaml:4:5" in done.stderr


def test_images_that_could_not_be_compared_are_never_called_equal(overlays: Path):
    (overlays / "base/d.yaml").write_text("a: {b\n")
    (overlays / "prod/kustomization.yaml").write_text(overlay("prod", "2.0"))
    git(overlays, "commit", "--quiet", "--all", "--message", "two")
    done = bateau(overlays, "promote", "all", "staging", "prod")
    assert (done.returncode, "nothing to promote" in done.stdout) == (1, False)
    assert "app/shop: images were not compared: " in done.stderr


def test_an_environment_that_is_not_there_is_named(repository: Path):
    done = bateau(repository, "promote", "shop", "stagin", "prod")
    assert done.returncode == 3
    assert "no valid Environment stagin" in done.stderr


async def test_the_plan_is_one_comment_that_is_updated_in_place(repository: Path):
    comments: list[str] = []
    tokens: set[str | None] = set()

    async def listed(request: web.Request) -> web.Response:
        tokens.add(request.headers.get("authorization"))
        return web.json_response([{"id": number, "body": body} for number, body in enumerate(comments)])

    async def made(request: web.Request) -> web.Response:
        comments.append((await request.json())["body"])
        return web.json_response({"id": 0}, status=201)

    async def changed(request: web.Request) -> web.Response:
        comments[int(request.match_info["id"])] = (await request.json())["body"]
        return web.json_response({"id": 0})

    app = web.Application()
    base = "/repos/org/acme/issues"
    app.add_routes([web.get(f"{base}/12/comments", listed), web.post(f"{base}/12/comments", made)])
    app.add_routes([web.patch(f"{base}/comments/{{id}}", changed)])
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        for tag in ("2.0", "2.1"):
            (repository / "prod.yaml").write_text(environment("prod", tag))
            words = ("plan", "--env", "prod", "--comment", "https://github.com/org/acme/pull/12")
            done = await asyncio.to_thread(bateau, repository, *words, GITHUB_TOKEN="t0k", GITHUB_API_URL=url)
            assert done.returncode == 0, done.stderr
    finally:
        await runner.cleanup()
    (body,) = comments
    assert body.startswith("<!-- bateau: bateau plan prod -->")
    assert "1.9 -> r.example/shop:2.1" in body
    assert tokens == {"Bearer t0k"}


def test_without_a_token_it_is_said(repository: Path):
    done = bateau(repository, "plan", "--env", "prod", "--comment", "https://github.com/org/acme/pull/12")
    assert done.returncode == 3
    assert "GITHUB_TOKEN is not set" in done.stderr


def test_what_is_no_pull_request_is_said(repository: Path):
    done = bateau(repository, "plan", "--env", "prod", "--comment", "https://github.com/org/acme")
    assert done.returncode == 3
    assert "is not a pull request" in done.stderr


def test_what_is_carried_against_the_order_of_promotion_is_said(repository: Path):
    text = (repository / "prod.yaml").read_text()
    (repository / "prod.yaml").write_text(text.replace("spec:", "spec:\n  after: [staging]", 1))
    git(repository, "commit", "--quiet", "--all", "--message", "two")
    back = bateau(repository, "promote", "shop", "prod", "staging", "--branch", "back")
    assert back.returncode == 0, back.stderr
    assert back.stderr == "warning: prod comes after staging: this carries its pins back\n"
    assert bateau(repository, "promote", "shop", "staging", "prod", "--branch", "on").stderr == ""
