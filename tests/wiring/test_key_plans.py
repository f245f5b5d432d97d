"""Keys of the specs in `check`, `plan`, `render` and `apply --dry-run`: counted, judged, and left out on clusters."""

import json
import os
import subprocess
import sys
from datetime import date
from pathlib import Path

import pytest

from bateau.api.preview_json import preview_tree
from bateau.control.delivery import deliver
from bateau.control.object_checks import Rules
from bateau.control.path import understand
from bateau.control.preview import preview
from bateau.domain.release import Release
from bateau.specs import read
from bateau.wiring.schemas import load_schemas

TODAY = date(2026, 11, 30)
HEAD = "apiVersion: bateau.dev/v1alpha1\n"
SHOP = HEAD + "kind: App\nmetadata: {name: shop}\nspec: {image: 'r.example/shop:1', ports: {http: {}}}\n"
RULE = HEAD + (
    "kind: Policy\nmetadata: {name: house}\nspec:\n  match: {kinds: [Key]}\n"
    "  rules: [{name: ends, check: has(spec.expiresAt), message: \"'every key ends'\"}]\n"
)


def key(name: str, digit: str, more: str = "") -> str:
    return HEAD + f'kind: Key\nmetadata: {{name: {name}}}\nspec: {{sha256: "{digit * 64}", hint: ab12{more}}}\n'


def bateau(directory: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "bateau", *words]
    environ = {**os.environ, "XDG_STATE_HOME": str(directory / ".state"), "XDG_RUNTIME_DIR": str(directory / ".run")}
    return subprocess.run(command, cwd=directory, env=environ, check=False, capture_output=True, text=True, timeout=60)


def test_specs_with_nothing_but_keys_are_specs(tmp_path: Path) -> None:
    (tmp_path / "keys.yaml").write_text(key("ci", "0"))
    checked = bateau(tmp_path, "check")
    assert (checked.returncode, checked.stdout) == (0, "no errors, no warnings, no services, 1 key\n"), checked.stderr
    assert json.loads(bateau(tmp_path, "check", "--json").stdout)["keys"] == ["ci"]


def test_policies_judge_keys() -> None:
    texts = {
        "shop.yaml": SHOP,
        "house.yaml": RULE,
        "a.yaml": key("a", "0", ", expiresAt: 2027-01-01"),
        "b.yaml": key("b", "1"),
    }
    written = understand(texts, today=TODAY)
    assert [(each.where and each.where.file, each.says) for each in written.problems] == [
        ("b.yaml", "policy house/ends, key/b: every key ends")
    ]


def test_a_cluster_has_no_object_for_a_key_and_that_is_said() -> None:
    texts = {"shop.yaml": SHOP, "keys.yaml": key("ci", "0") + "---\n" + key("web", "1")}
    made = deliver(read(texts), None, Rules(schemas=load_schemas(), today=TODAY))
    plain = deliver(read({"shop.yaml": SHOP}), None, Rules(schemas=load_schemas(), today=TODAY))
    assert [each.tree for each in made.manifests] == [each.tree for each in plain.manifests]
    said = [each for each in made.findings if each.subject.startswith("key/")]
    assert [(each.subject, each.verdict, each.where and each.where.file) for each in said] == [
        ("key/ci", "warning", "keys.yaml"),
        ("key/web", "warning", "keys.yaml"),
    ]
    assert all("not rendered: a controller that follows the specs gives keys" in each.says for each in said)
    assert not made.wrong


def test_limits_that_clusters_do_not_count_are_named() -> None:
    limited = key("ci", "0", ", limits: {requestsPerMinute: 1, tokensPerDay: 5, moneyPerDay: 5 EUR}")
    made = deliver(read({"shop.yaml": SHOP, "k.yaml": limited}), None, Rules(schemas=load_schemas(), today=TODAY))
    assert [each.says for each in made.findings if each.subject == "key/ci"][1:] == [
        "limits.tokensPerDay and limits.moneyPerDay have no effect on clusters"
    ]


def test_render_says_it_too(tmp_path: Path) -> None:
    (tmp_path / "specs.yaml").write_text("---\n".join((SHOP, key("ci", "0"))))
    done = bateau(tmp_path, "render", "--no-cache")
    assert done.returncode == 0, done.stderr
    assert "key/ci: not rendered: a controller that follows the specs gives keys" in done.stderr
    assert "kind: Key" not in done.stdout


@pytest.mark.parametrize(
    ("before", "after", "effects", "words"),
    [
        ({}, {"k": key("ci", "0")}, ["key/ci is admitted"], "; 1 key changes"),
        ({"k": key("ci", "0")}, {}, ["key/ci is revoked"], "; 1 key changes"),
        ({"k": key("ci", "0")}, {"k": key("ci", "1")}, ["key/ci changes"], "; 1 key changes"),
        ({"k": key("ci", "0")}, {"k": key("ci", "0", ", models: [chat]")}, ["key/ci changes"], "; 1 key changes"),
        ({"k": key("ci", "0")}, {"elsewhere": "# moved\n" + key("ci", "0")}, [], ""),
        (
            {"a": key("a", "0"), "b": key("b", "1")},
            {"a": key("a", "2"), "c": key("c", "1")},
            ["key/a changes", "key/b is revoked", "key/c is admitted"],
            "; 3 keys change",
        ),
    ],
)
def test_a_preview_has_the_keys_that_change(
    before: dict[str, str], after: dict[str, str], effects: list[str], words: str
) -> None:
    old = understand(before, today=TODAY)
    tree = preview_tree(preview(understand(after, today=TODAY), Release(), Release(), keys=old.keys))
    assert [f"{each['service']} {each['does']}" for each in tree["effects"]] == effects
    assert tree["pending"] is bool(effects)
    assert tree["headline"].partition(";")[1:] == tuple(words.partition(";")[1:])


def test_apply_shows_the_keys_before_anything_runs(tmp_path: Path) -> None:
    (tmp_path / "specs.yaml").write_text(key("ci", "0"))
    done = bateau(tmp_path, "apply", "--dry-run")
    assert "key/ci is admitted" in done.stdout, done.stderr
