"""The worked example, through the real commands, in a repository of its own."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

ACME = Path(__file__).parents[2] / "examples" / "acme"


@pytest.fixture
def acme(tmp_path: Path) -> Path:
    path = tmp_path / "acme"
    shutil.copytree(ACME, path)
    for words in (
        ("init", "--quiet", "--initial-branch=main"),
        ("config", "user.name", "Ada"),
        ("config", "user.email", "ada@example.org"),
    ):
        git(path, *words)
    commit(path)
    return path


def git(path: Path, *words: str) -> None:
    subprocess.run(["git", "-C", str(path), *words], check=True, capture_output=True)


def commit(path: Path) -> None:
    git(path, "add", "--all")
    git(path, "commit", "--quiet", "--message", "a change")


def bateau(path: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "bateau", *words]
    return subprocess.run(command, cwd=path, env=os.environ, check=False, capture_output=True, text=True, timeout=60)


def edit(path: Path, name: str, old: str, new: str) -> None:
    file = path / name
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))


def test_check_is_clean_for_every_environment(acme: Path):
    done = bateau(acme, "check")
    assert done.returncode == 0, done.stdout
    assert "no mistakes, no warnings, 3 services" in done.stdout
    assert "for base, prod, staging" in done.stdout


def test_explain_shows_the_chain_of_a_patched_value(acme: Path):
    lines = bateau(acme, "explain", "shop", "spec.replicas", "--env", "prod").stdout.splitlines()
    assert lines[0] == "4"
    assert [line.split()[0].partition(":")[0] for line in lines[1:]] == [
        "services/shop.yaml",
        "environments/prod.yaml",
        "environments/prod.yaml",
    ]


def test_render_writes_what_any_reader_reads(acme: Path, tmp_path: Path):
    done = bateau(acme, "render", "prod", "--output", str(tmp_path / "out"))
    assert done.returncode == 0, done.stderr
    objects: list[Any] = [o for f in (tmp_path / "out").iterdir() for o in yaml.safe_load_all(f.read_text())]
    deployment = next(o for o in objects if o["kind"] == "Deployment" and o["metadata"]["name"] == "shop")
    assert deployment["spec"]["replicas"] == 4
    assert deployment["spec"]["template"]["spec"]["containers"][0]["image"] == "registry.example.org/shop:1.4.1"


def test_plan_shows_an_edit_with_its_origin(acme: Path):
    edit(acme, "environments/prod.yaml", "1.4.1", "1.5.0")
    done = bateau(acme, "plan", "prod", "--exit-code")
    assert done.returncode == 4, done.stderr
    assert "shop:1.4.1 -> registry.example.org/shop:1.5.0" in done.stdout
    assert "environments/prod.yaml:8" in done.stdout
    assert json.loads(bateau(acme, "plan", "prod", "--json").stdout)["environment"] == "prod"
    assert bateau(acme, "plan", "prod", "--markdown").stdout.startswith("<!-- bateau plan prod -->")
    assert json.loads(bateau(acme, "plan", "prod", "--sarif").stdout)["version"] == "2.1.0"


def test_plan_compares_two_commits(acme: Path):
    edit(acme, "environments/prod.yaml", "replicas: 4", "replicas: 6")
    commit(acme)
    done = bateau(acme, "plan", "prod", "HEAD~1..HEAD")
    assert "replicas 4 -> 6" in done.stdout
    assert bateau(acme, "plan", "prod", "--exit-code").returncode == 0


def test_a_policy_forbids_with_its_own_exit_code(acme: Path):
    edit(acme, "services/cart.yaml", "team: sales, ", "")
    for words in (("check",), ("plan", "prod")):
        done = bateau(acme, *words)
        assert done.returncode == 5
        assert "every service names its team" in done.stdout + done.stderr


def test_more_removals_than_a_share_are_asked_about(acme: Path):
    (acme / "services/cart.yaml").unlink()
    edit(acme, "services/shop.yaml", "app/cart, ", "")
    done = bateau(acme, "plan", "prod")
    assert done.returncode == 1
    assert "--yes-remove" in done.stdout


def test_a_mistake_is_told_instead_of_a_plan(acme: Path):
    edit(acme, "services/cart.yaml", "replicas", "replcias")
    done = bateau(acme, "plan", "prod")
    assert done.returncode == 1
    assert "did you mean `replicas`?" in done.stderr


def test_check_judges_the_manifests_that_policies_speak_of(acme: Path):
    edit(acme, "environments/prod.yaml", "tag: 1.4.1", "tag: latest")
    assert bateau(acme, "check").returncode == 0
    done = bateau(acme, "check", "--starter")
    assert done.returncode == 5, done.stdout
    assert "images/pinned" in done.stdout


def test_what_rules_over_manifests_cannot_see_is_not_checked(acme: Path):
    (acme / "services/worker.yaml").write_text(
        "apiVersion: bateau.dev/v1alpha1\nkind: App\nmetadata: {name: worker, labels: {team: sales}}\n"
        "spec: {command: [sleep, '1']}\n"
    )
    done = bateau(acme, "check", "--starter")
    assert "app/worker: not checked: it has no manifests" in done.stdout


def test_an_environment_that_is_not_there_is_the_only_mistake_told(acme: Path):
    done = bateau(acme, "plan", "prd")
    assert done.returncode == 1
    assert done.stderr.splitlines() == ["there is no Environment prd", "  hint: did you mean `prod`?"]
