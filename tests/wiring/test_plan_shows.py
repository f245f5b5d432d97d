"""What a plan and `explain` show through the real commands: no secret, and numbers as kubectl reads them."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

SPECS = """\
apiVersion: bateau.dev/v1alpha1
kind: App
metadata: {name: shop}
spec:
  image: r.example/shop:1
  command: [run, "--dsn=${ env('DSN') }"]
  env: {A: "${ env('DSN') }", C: "1"}
---
apiVersion: bateau.dev/v1alpha1
kind: Environment
metadata: {name: prod}
spec: {env: [DSN]}
"""
DSN = ("the first dsn", "another dsn")


@pytest.fixture
def specs(tmp_path: Path) -> Path:
    (tmp_path / "specs").mkdir()
    (tmp_path / "specs" / "a.yaml").write_text(SPECS)
    return tmp_path / "specs"


def bateau(specs: Path, *words: str, dsn: str = DSN[0]) -> subprocess.CompletedProcess[str]:
    environ = {**os.environ, "XDG_CACHE_HOME": str(specs.parent / "cache"), "NO_COLOR": "1", "DSN": dsn}
    command = [sys.executable, "-m", "bateau", *words]
    return subprocess.run(command, cwd=specs, env=environ, check=False, capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize("form", [(), ("--objects",), ("--json",), ("--markdown",), ("--sarif",)])
def test_no_plan_shows_what_env_has_read(specs: Path, form: tuple[str, ...]) -> None:
    out = str(specs.parent / "out")
    assert bateau(specs, "render", "--env", "prod", "-o", out).returncode == 0
    text = (specs / "a.yaml").read_text()
    (specs / "a.yaml").write_text(text.replace('C: "1"', "B: \"${ env('DSN') }\""))
    done = bateau(specs, "plan", "--env", "prod", "--against", out, *form, dsn=DSN[1])
    assert done.returncode == 0, done.stderr
    assert "ConfigMap" in done.stdout or form == ("--sarif",)
    assert not any(each in done.stdout + done.stderr for each in DSN)
    if not form:
        assert "data.A (secret changed)" in done.stdout
        assert 'data.C - "1"' in done.stdout


@pytest.mark.parametrize(
    "asked", [("shop", "spec.env"), ("shop",), ("ConfigMap/shop", "data"), ("shop", "spec.command")]
)
def test_explain_names_where_a_value_is_read_and_not_the_value(specs: Path, asked: tuple[str, ...]) -> None:
    for form in ((), ("--json",)):
        done = bateau(specs, "explain", *asked, "--env", "prod", *form)
        assert done.returncode == 0, done.stderr
        assert "(secret)" in done.stdout
        assert "a.yaml" in done.stdout
        assert DSN[0] not in done.stdout


def test_a_mistake_does_not_quote_what_env_has_read(specs: Path) -> None:
    patch = "patches: [{match: {name: shop}, set: {spec.replicas: \"${ env('DSN') }\"}}]"
    (specs / "a.yaml").write_text(SPECS.replace("env: [DSN]", f"env: [DSN], {patch}"))
    done = bateau(specs, "check")
    assert done.returncode == 1
    assert "spec.replicas is" in done.stderr + done.stdout
    assert DSN[0] not in done.stderr + done.stdout


def test_numbers_beyond_64_bits_are_what_kubectl_takes_them_for(specs: Path) -> None:
    out = specs.parent / "out"
    assert bateau(specs, "render", "--env", "prod", "-o", str(out)).returncode == 0
    thing = "apiVersion: example.org/v1\nkind: Thing\nmetadata: {name: x}\nspec: {n: 99999999999999999999999}\n"
    (out / "thing.yaml").write_text(thing)
    done = bateau(specs, "plan", "--env", "prod", "--against", str(out), "--json")
    assert done.returncode == 0, done.stderr
    assert [each["kind"] for each in json.loads(done.stdout)["removals"]] == ["Thing"]


def test_every_file_that_is_no_yaml_is_named_at_once(specs: Path) -> None:
    out = specs.parent / "out"
    out.mkdir()
    for name in "ab":
        (out / f"{name}.yaml").write_text("kind: [\n")
    done = bateau(specs, "plan", "--env", "prod", "--against", str(out))
    assert done.returncode == 3
    assert "a.yaml:" in done.stderr
    assert "b.yaml:" in done.stderr


def committed(specs: Path) -> None:
    for words in (
        ["init", "-q"],
        ["add", "--all"],
        ["-c", "user.name=A", "-c", "user.email=a@b.c", "commit", "-qm", "x"],
    ):
        subprocess.run(["git", *words], cwd=specs, check=True, capture_output=True)


def test_the_first_secret_variable_of_a_service_is_not_shown(specs: Path) -> None:
    (specs / "a.yaml").write_text(SPECS.replace('  env: {A: "${ env(\'DSN\') }", C: "1"}\n', ""))
    committed(specs)
    (specs / "a.yaml").write_text(SPECS.replace('A: "${ env(\'DSN\') }", C: "1"', "MY_TOKEN_: hunter2, LOG: debug"))
    for form in ((), ("--json",), ("--markdown",), ("--objects",)):
        done = bateau(specs, "plan", "--env", "prod", *form)
        assert done.returncode == 0, done.stderr
        assert "debug" in done.stdout
        assert "hunter2" not in done.stdout


def test_what_env_has_read_is_shown_by_no_policy_schema_or_cut_message(specs: Path) -> None:
    dsn = "a-long-dsn-" + "x" * 100
    patch = "patches: [{match: {kind: Deployment}, set: {spec.revisionHistoryLimit: \"${ env('DSN') }\"}}]"
    policy = (
        "---\napiVersion: bateau.dev/v1alpha1\nkind: Policy\nmetadata: {name: p}\nspec:\n  match: {kinds: [App]}\n"
        "  rules: [{name: r, check: 'false', message: \"'bad: ' + spec.env.A\"}]\n"
    )
    (specs / "a.yaml").write_text(SPECS.replace("env: [DSN]", f"env: [DSN], {patch}") + policy)
    for words in (
        ["check"],
        ["render", "--env", "prod"],
        ["plan", "--env", "prod", "--sarif"],
        ["plan", "--env", "prod", "--json"],
    ):
        done = bateau(specs, *words, dsn=dsn)
        assert done.returncode in {1, 5}
        assert "bad: " in done.stdout + done.stderr
        assert "a-long-dsn" not in done.stdout + done.stderr
    more = SPECS.replace("image:", "replicas: \"${ env('DSN') }\"\n  image:")
    (specs / "a.yaml").write_text(more)
    done = bateau(specs, "check", dsn=dsn)
    assert "spec.replicas is" in done.stdout
    assert "a-long-dsn" not in done.stdout + done.stderr


def test_what_follows_from_a_variable_elsewhere_is_not_shown(specs: Path) -> None:
    model = (
        "---\napiVersion: bateau.dev/v1alpha1\nkind: Model\nmetadata: {name: m}\n"
        "spec: {engine: external, source: \"${ 'https://example.org/' + env('DSN') }\"}\n"
    )
    uses = SPECS.replace("  image:", "  uses: [model/m]\n  image:").replace('C: "1"', 'C: "<${ spec.env.A }>"')
    (specs / "a.yaml").write_text(uses + model)
    out = str(specs.parent / "out")
    keys = ("firsttoken", "secondtoken")
    assert bateau(specs, "render", "--env", "prod", "-o", out, dsn=keys[0]).returncode == 0
    for form in ((), ("--json",), ("--objects",)):
        done = bateau(specs, "plan", "--env", "prod", "--against", out, *form, dsn=keys[1])
        assert done.returncode == 0, done.stderr
        assert "BATEAU_M_URL" in done.stdout
        assert not any(each in done.stdout for each in keys)
