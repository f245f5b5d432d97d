"""The worked example, through the real commands, in a repository of its own."""

import json
import os
import re
import shutil
import subprocess
import sys
import urllib.request
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from local.stack import Stack, wait_for
from sources.foreign.programs import helm, kubectl

ACME = Path(__file__).parents[2] / "examples" / "acme"
SERVICES = 6
# What runs on this machine; the others are for clusters.
HERE = ("app/cart", "app/shop", "model/assistant")


@pytest.fixture
def acme(tmp_path: Path) -> Path:
    kubectl()
    helm()
    path = tmp_path / "acme"
    shutil.copytree(ACME, path, ignore=shutil.ignore_patterns("__pycache__"))
    for words in (
        ("init", "--quiet", "--initial-branch=main"),
        ("config", "user.name", "Ada"),
        ("config", "user.email", "ada@example.org"),
    ):
        git(path, *words)
    # Some day its exception expires, and these tests shall not.
    until_in_days(path, 30)
    commit(path)
    return path


def until_in_days(path: Path, days: int) -> None:
    file = path / "policies/house.yaml"
    until = (datetime.now(tz=UTC) + timedelta(days=days)).date()
    text, count = re.subn(r"until: \S+", f"until: {until}", file.read_text())
    assert count == 1
    file.write_text(text)


def git(path: Path, *words: str) -> str:
    return subprocess.run(["git", "-C", str(path), *words], check=True, capture_output=True, text=True).stdout


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


def steps(path: Path, *words: str) -> list[tuple[str, Any]]:
    """Return file and value of each step that `explain` tells for prod."""
    done = bateau(path, "explain", *words, "--env", "prod", "--json")
    assert done.returncode == 0, done.stderr
    chain = [each for _, each in json.loads(done.stdout)["origins"]]
    return [(each["at"]["file"] if each["at"] else "-", each["value"]) for each in chain]


def test_check_finds_no_mistake_in_any_environment(acme: Path):
    done = bateau(acme, "check", "--starter")
    assert done.returncode == 0, done.stdout
    assert f"no errors, 1 warning, {SERVICES} services" in done.stdout
    assert "checked for base, laptop, prod, staging" in done.stdout
    assert "Deployment default/assistant: excepted: in prod at least 2 replicas run (excepted by search" in done.stdout


def test_the_tutorial_shows_a_spec_as_it_stands():
    page = (ACME.parents[1] / "docs/tutorial-environments.md").read_text()
    assert (ACME / "services/cart.yaml").read_text() in page


def test_explain_shows_the_chain_of_a_patched_value(acme: Path):
    lines = bateau(acme, "explain", "shop", "spec.replicas", "--env", "prod").stdout.splitlines()
    assert lines[0] == "4"
    assert [line.split()[0].partition(":")[0] for line in lines[1:]] == [
        "services/shop.yaml",
        "environments/prod.yaml",
        "environments/prod.yaml",
    ]


MEMORY = "spec.template.spec.containers[0].resources.limits.memory"


@pytest.mark.parametrize(
    ("subject", "path", "expected"),
    [
        (
            "Deployment/invoices",
            MEMORY,
            [("invoices/base/deployment.yaml", "256Mi"), ("invoices/overlays/prod/memory.yaml", "768Mi")],
        ),
        ("CronJob/reports", "spec.schedule", [("legacy/reports/cronjob.yaml", "15 4 * * *")]),
    ],
)
def test_explain_follows_a_manifest_to_where_it_was_written(
    acme: Path, subject: str, path: str, expected: list[tuple[str, Any]]
):
    assert steps(acme, subject, path) == expected


def test_explain_shows_that_an_environment_changed_what_a_chart_gives(acme: Path):
    chain = steps(acme, "Deployment/search", MEMORY)
    assert chain[0][0].startswith("charts/search/")
    assert chain[-1] == ("environments/prod.yaml", "1Gi")


def test_render_writes_what_any_reader_reads(acme: Path, tmp_path: Path):
    done = bateau(acme, "render", "--env", "prod", "--output", str(tmp_path / "out"))
    assert done.returncode == 0, done.stderr
    files = sorted((tmp_path / "out").glob("*.yaml"))
    assert len(files) == SERVICES
    objects: list[Any] = [each for file in files for each in yaml.safe_load_all(file.read_text())]
    assert all(each["apiVersion"] and each["kind"] and each["metadata"]["name"] for each in objects)
    workloads = {each["metadata"]["name"]: each["spec"] for each in objects if each["kind"] == "Deployment"}
    assert {name: each["replicas"] for name, each in workloads.items()} == {
        "assistant": 1,
        "cart": 2,
        "invoices": 2,
        "search": 3,
        "shop": 4,
    }
    assert workloads["shop"]["template"]["spec"]["containers"][0]["image"] == "registry.example.org/shop:1.4.1"
    # One patch of the environment speaks of every Deployment with several replicas, wherever it came from.
    assert {name for name, each in workloads.items() if "topologySpreadConstraints" in each["template"]["spec"]} == {
        "cart",
        "invoices",
        "search",
        "shop",
    }
    assert [each["spec"]["schedule"] for each in objects if each["kind"] == "CronJob"] == ["15 4 * * *"]


def test_plan_shows_an_edit_with_its_origin(acme: Path):
    edit(acme, "environments/prod.yaml", "1.4.1", "1.5.0")
    done = bateau(acme, "plan", "--env", "prod", "--exit-code")
    assert done.returncode == 4, done.stderr
    assert "shop:1.4.1 -> registry.example.org/shop:1.5.0" in done.stdout
    assert "environments/prod.yaml:8" in done.stdout


def test_plan_compares_two_commits(acme: Path):
    edit(acme, "environments/prod.yaml", "replicas: 4", "replicas: 6")
    edit(acme, "invoices/base/kustomization.yaml", "3.1.0", "3.1.1")
    commit(acme)
    done = bateau(acme, "plan", "--env", "prod", "HEAD~1..HEAD", "--markdown")
    assert done.stdout.startswith("<!-- bateau plan prod -->")
    assert "replicas 4 -> 6" in done.stdout
    assert "invoices:3.1.0 -> registry.example.org/invoices:3.1.1" in done.stdout


def test_f25_the_right_column_is_the_value_of_a_chart_that_changed(acme: Path):
    """F25: it was the line of the template, which nobody had edited."""
    edit(acme, "charts/search/values.yaml", "pageSize: 20", "pageSize: 50")
    (line,) = [line for line in bateau(acme, "plan", "--env", "prod").stdout.splitlines() if "args[3]" in line]
    assert '"20" -> "50"' in line
    assert "charts/search/values.yaml:11" in line
    git(acme, "checkout", "--quiet", ".")
    edit(acme, "charts/search/templates/deployment.yaml", '"--page-size", "', '"--page-size", "1')
    (line,) = [line for line in bateau(acme, "plan", "--env", "prod").stdout.splitlines() if "args[3]" in line]
    assert "charts/search/templates/deployment.yaml:25" in line, "here the template did change"


def test_a_policy_forbids_with_its_own_exit_code(acme: Path):
    edit(acme, "services/cart.yaml", "team: sales, ", "")
    for words in (("check",), ("plan", "--env", "prod")):
        done = bateau(acme, *words)
        assert done.returncode == 5
        assert "every service names its team" in done.stdout + done.stderr


def test_a_policy_over_manifests_binds_what_a_chart_makes(acme: Path):
    edit(acme, "environments/prod.yaml", "search: {replicas: 3}", "search: {replicas: 1}")
    done = bateau(acme, "check")
    assert done.returncode == 5
    assert "Deployment default/search: in prod at least 2 replicas run" in done.stdout


def test_an_exception_that_has_expired_binds_again(acme: Path):
    until_in_days(acme, -2)
    done = bateau(acme, "check")
    assert done.returncode == 5
    assert "the exception of search ended on" in done.stdout
    assert "Deployment default/assistant: in prod at least 2 replicas run" in done.stdout


def test_more_removals_than_a_share_are_asked_about(acme: Path):
    for name in ("cart", "invoices"):
        (acme / f"services/{name}.yaml").unlink()
    edit(acme, "services/shop.yaml", "app/cart, ", "")
    text = (acme / "environments/prod.yaml").read_text()
    (acme / "environments/prod.yaml").write_text(
        re.sub(r"    - match: \{kind: App, name: (?:cart|invoices)\}\n      set:\n .*\n", "", text)
    )
    done = bateau(acme, "plan", "--env", "prod")
    assert done.returncode == 1, done.stderr
    assert "--yes-remove" in done.stdout


def test_a_mistake_is_told_instead_of_a_plan(acme: Path):
    edit(acme, "services/cart.yaml", "replicas", "replcias")
    done = bateau(acme, "plan", "--env", "prod")
    assert done.returncode == 1
    assert "did you mean `replicas`?" in done.stderr


def test_the_starter_set_judges_manifests_and_says_what_it_cannot_see(acme: Path):
    edit(acme, "environments/prod.yaml", "tag: 1.4.1", "tag: latest")
    (acme / "services/worker.yaml").write_text(
        "apiVersion: bateau.dev/v1alpha1\nkind: App\nmetadata: {name: worker, labels: {team: sales}}\n"
        "spec: {command: [sleep, '1']}\n"
    )
    done = bateau(acme, "check", "--starter")
    assert done.returncode == 5, done.stdout
    assert "images/pinned" in done.stdout
    assert "app/worker: not checked: it has no manifests" in done.stdout


def test_an_environment_that_is_not_there_is_the_only_mistake_told(acme: Path):
    done = bateau(acme, "plan", "--env", "prd")
    assert done.returncode == 1
    assert done.stderr.splitlines() == ["there is no Environment prd", "  hint: did you mean `prod`?"]


def test_promote_makes_a_commit_whose_effect_plan_shows(acme: Path):
    done = bateau(acme, "promote", "shop", "staging", "prod", "--branch", "shop-to-prod")
    assert done.returncode == 0, done.stderr
    assert "values.shop.tag: 1.4.1 -> 1.5.0" in done.stdout
    assert "environments/prod.yaml" in git(acme, "diff", "--name-only", "HEAD..shop-to-prod")
    assert not git(acme, "status", "--porcelain")
    done = bateau(acme, "plan", "--env", "prod", "HEAD..shop-to-prod")
    assert "shop:1.4.1 -> registry.example.org/shop:1.5.0" in done.stdout


@pytest.fixture
def stack(acme: Path) -> Iterator[Stack]:
    made = Stack(Path.home() / ".cache")
    made.specs.rmdir()
    made.specs.symlink_to(acme)
    yield made
    made.destroy()


def addresses(stack: Stack) -> Mapping[str, str]:
    return {each["service"]: each["address"] for each in stack.status()["services"]}


def get(url: str) -> str:
    with urllib.request.urlopen(url, timeout=60) as response:
        return response.read().decode()


def test_it_is_applied_to_this_machine_and_goes_back(acme: Path, stack: Stack):
    apply = ("apply", "--env", "laptop", "--yes", "-C", str(acme), "--listen", f"127.0.0.1:{stack.port}")
    done = stack.bateau(*apply)
    assert done.code == 0, done.out + done.err
    assert "app/search does not run on this machine" in done.out
    states = {each["service"]: each["state"] for each in stack.status()["services"]}
    assert {key for key, state in states.items() if state == "Ready"} == set(HERE)

    shop = addresses(stack)["app/shop"]
    page = get(f"{shop}/?basket=tea,cup")
    assert page.startswith("Everything for tea (laptop)\nin your basket: tea, cup, 16 euros\n")
    assert get(f"{shop}/ask?q=Which+tea+is+green").strip()

    edit(acme, "environments/base.yaml", "Everything for tea", "Winter sale")
    assert get(shop).startswith("Everything for tea")  # nothing is followed
    before = stack.pids("app/cart")
    done = stack.bateau(*apply)
    assert done.code == 0, done.err
    assert "app/shop replaces 1 replica" in done.out
    assert get(shop).startswith("Winter sale")

    done = stack.bateau("rollback", "shop", "--env", "laptop")
    assert done.code == 0, done.err
    assert get(shop).startswith("Everything for tea")
    assert stack.pids("app/cart") == before

    def outcomes() -> list[str]:
        return [each["outcome"] for each in json.loads(stack.bateau("history", "--json").out)]

    # The newest is healthy once all of it has been ready for ten seconds.
    wait_for(lambda: outcomes() == ["healthy", "rolled back", "healthy"])
