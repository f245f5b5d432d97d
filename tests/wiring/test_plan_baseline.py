"""What blocks a change: the errors that it adds, a side that cannot be rendered, and nothing that was wrong before."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

HEAD = "apiVersion: bateau.dev/v1alpha1\n"
APP = HEAD + "kind: App\nmetadata: {name: k}\nspec: {manifests: ['k/*.yaml']}\n"
SHOP = HEAD + "kind: App\nmetadata: {name: shop}\nspec: {image: 'r.example/shop:1', ports: {http: {}}}\n"
RULE = HEAD + (
    "kind: Policy\nmetadata: {name: house}\nspec:\n  match: {kinds: [App]}\n"
    "  rules: [{name: team, check: has(metadata.labels), message: \"'no team'\", severity: error}]\n"
)
PROD = HEAD + "kind: Environment\nmetadata: {name: prod}\nspec: {}\n"


def config_map(name: str, **data: str) -> str:
    return f"apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}}}\ndata: {json.dumps(data)}\n"


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    path = tmp_path / "acme"
    path.mkdir()
    git(path, "init", "--quiet", "--initial-branch=main")
    git(path, "config", "user.name", "Ada")
    git(path, "config", "user.email", "ada@example.org")
    return path


def git(path: Path, *words: str) -> str:
    return subprocess.run(["git", "-C", str(path), *words], check=True, capture_output=True, text=True).stdout.strip()


def write(path: Path, files: dict[str, str | None]) -> None:
    """Write files; None deletes one."""
    for name, text in files.items():
        file = path / name
        if text is None:
            file.unlink()
            continue
        file.parent.mkdir(exist_ok=True)
        file.write_text(text)


def commit(path: Path, files: dict[str, str | None]) -> None:
    write(path, files)
    git(path, "add", "--all")
    git(path, "commit", "--quiet", "--message", "a change")


def plan(path: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "bateau", "plan", *words]
    return subprocess.run(command, cwd=path, env=os.environ, check=False, capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize("form", [(), ("--markdown",), ("--json",)])
def test_f2_an_older_commit_that_cannot_be_rendered_is_named_and_blocks(repository: Path, form: tuple[str, ...]):
    """F2: a tab in the older commit hid that keep.yaml was deleted, and the plan ended with 0."""
    broken = config_map("a", x="1").replace("metadata: {name: a}", "metadata:\n\tname: a")
    commit(repository, {"app.yaml": APP, "k/a.yaml": broken, "k/keep.yaml": config_map("keep")})
    older = git(repository, "rev-parse", "HEAD")
    commit(repository, {"k/a.yaml": config_map("a", x="1"), "k/keep.yaml": None})
    done = plan(repository, "HEAD~1..HEAD", *form)
    assert done.returncode == 1, done.stdout
    assert f"commit {older[:12]} (HEAD~1) could not be rendered: k/a.yaml:" in done.stderr
    assert "app/k" in done.stdout
    assert "k/a.yaml:" in done.stdout
    if not form:
        assert "not compared" in done.stdout
        assert "create" not in done.stdout, "whether the object exists is not known"


def test_f2_a_document_that_the_older_commit_could_not_read_is_not_a_new_service(repository: Path):
    """F2: the same where a spec is broken, and not a file that it names."""
    commit(repository, {"k.yaml": SHOP.replace("ports", "prots"), "x.yaml": SHOP.replace("shop", "cart")})
    commit(repository, {"k.yaml": SHOP})
    done = plan(repository, "HEAD~1..HEAD")
    assert done.returncode == 1
    assert "could not be rendered: k.yaml:4:35: unknown field `prots`" in done.stderr
    assert "nothing changes, 1 service is up to date, 1 not compared" in done.stdout
    assert "+ app/shop" not in done.stdout


def test_an_environment_that_the_older_commit_lacks_is_new(repository: Path):
    commit(repository, {"shop.yaml": SHOP})
    commit(repository, {"prod.yaml": PROD})
    done = plan(repository, "--env", "prod", "HEAD~1..HEAD")
    assert done.returncode == 0, done.stderr
    assert "+ app/shop" in done.stdout
    assert "has no Environment prod: every object is new" in done.stderr


def test_an_environment_that_is_deleted_removes_nothing_and_names_everything(repository: Path):
    commit(repository, {"shop.yaml": SHOP, "prod.yaml": PROD})
    write(repository, {"prod.yaml": None})
    done = plan(repository, "--env", "prod")
    assert done.returncode == 1
    assert "prod: not compared" in done.stdout
    assert "? Deployment default/shop  may be removed" in done.stdout
    assert "there is no Environment prod" in done.stderr


def test_f26_errors_of_a_policy_that_both_sides_have_do_not_block(repository: Path):
    """F26: one old violation anywhere, and there was no plan at all."""
    commit(repository, {"shop.yaml": SHOP, "rule.yaml": RULE})
    write(repository, {"shop.yaml": SHOP.replace("shop:1", "shop:2")})
    done = plan(repository)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "image r.example/shop:1 -> r.example/shop:2" in done.stdout
    assert "1 error not caused by this change: commit" in done.stdout
    assert "not caused by this change: 1 error (house/team, app)" in done.stdout
    assert plan(repository, "--exit-code").returncode == 4
    tree = json.loads(plan(repository, "--json").stdout)
    assert [each["new"] for each in tree["findings"]] == [False]
    assert tree["summary"]["errorsOld"] == 1
    assert not tree["blocked"]
    assert "Not caused by this change" in plan(repository, "--markdown").stdout


def test_f26_only_a_new_violation_blocks(repository: Path):
    """F26: the plan is shown, and the new violation is separate from the old one."""
    commit(repository, {"shop.yaml": SHOP, "rule.yaml": RULE})
    write(repository, {"cart.yaml": SHOP.replace("shop", "cart")})
    done = plan(repository)
    assert done.returncode == 5
    assert "+ app/cart" in done.stdout
    assert "error: house/team: app/cart: no team   cart.yaml:3" in done.stdout
    assert "house/team: app/shop" not in done.stdout
    assert plan(repository, "--starter").returncode == 5


def test_f26_a_policy_that_is_new_blocks(repository: Path):
    commit(repository, {"shop.yaml": SHOP})
    write(repository, {"rule.yaml": RULE})
    assert plan(repository).returncode == 5


def test_f26_an_error_in_a_document_that_did_not_change_does_not_block(repository: Path):
    """F26: the same for errors of specs, where the document has the same text on both sides."""
    commit(repository, {"cart.yaml": SHOP.replace("shop", "cart").replace("ports", "prots"), "shop.yaml": SHOP})
    write(repository, {"shop.yaml": SHOP.replace("shop:1", "shop:2")})
    done = plan(repository)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "image r.example/shop:1 -> r.example/shop:2" in done.stdout
    assert "1 error not caused by this change" in done.stdout
    write(repository, {"cart.yaml": SHOP.replace("shop", "cart").replace("ports", "prots") + "# edited\n"})
    done = plan(repository)
    assert done.returncode == 1, "an edit of a document with an error may be any change"
    assert "unknown field `prots`" in done.stderr


def test_an_error_in_foreign_documents_blocks_while_it_hides_their_changes(repository: Path):
    """F2 and F26: both sides cannot be rendered, and a file was deleted meanwhile."""
    commit(repository, {"app.yaml": APP, "k/a.yaml": "kind: [\n", "k/keep.yaml": config_map("keep")})
    write(repository, {"k/keep.yaml": None})
    done = plan(repository)
    assert done.returncode == 1
    assert "app/k" in done.stdout
    assert "k/a.yaml" in done.stderr


def test_objects_of_a_service_that_is_broken_now_are_named_and_not_removed(repository: Path):
    commit(repository, {"app.yaml": APP, "k/a.yaml": config_map("a"), "k/b.yaml": config_map("b")})
    write(repository, {"k/a.yaml": "kind: [\n"})
    done = plan(repository)
    assert done.returncode == 1
    assert "? ConfigMap default/a  may be removed" in done.stdout
    assert "? ConfigMap default/b  may be removed" in done.stdout
    assert "remove: " not in done.stdout


def test_f26_manifests_that_were_rendered_before_are_held_to_the_same_rules(repository: Path):
    """F26: with --against, an error of the old manifests is the baseline, too."""
    rule = RULE.replace("kinds: [App]", "kinds: [ConfigMap]")
    commit(repository, {"app.yaml": APP, "k/a.yaml": config_map("a", x="1"), "rule.yaml": rule})
    out = repository.parent / "out"
    out.mkdir()
    write(out, {"a.yaml": config_map("a", x="0").replace("{name: a}", "{name: a, namespace: default}")})
    done = plan(repository, "--against", str(out))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 error not caused by this change" in done.stdout
    write(repository, {"k/b.yaml": config_map("b")})
    assert plan(repository, "--against", str(out)).returncode == 5


def test_an_error_that_the_change_fixes_is_counted(repository: Path):
    commit(repository, {"shop.yaml": SHOP, "rule.yaml": RULE})
    write(repository, {"shop.yaml": SHOP.replace("{name: shop}", "{name: shop, labels: {team: a}}")})
    done = plan(repository, "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["summary"]["errorsFixed"] == 1
