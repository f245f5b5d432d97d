"""What people give by mistake through the real commands: it is named, and nothing is taken for something else."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

APP = "apiVersion: bateau.dev/v1alpha1\nkind: App\nmetadata: {name: shop}\nspec: {image: 'r/shop:${ values.tag }'}\n"
PROD = "apiVersion: bateau.dev/v1alpha1\nkind: Environment\nmetadata: {name: prod}\nspec: {values: {tag: '1'}}\n"


@pytest.fixture
def specs(tmp_path: Path) -> Path:
    (tmp_path / "specs").mkdir()
    (tmp_path / "specs" / "shop.yaml").write_text(APP)
    (tmp_path / "specs" / "prod.yaml").write_text(PROD)
    return tmp_path / "specs"


def bateau(specs: Path, *words: str) -> subprocess.CompletedProcess[str]:
    environ = {
        **os.environ,
        "XDG_CACHE_HOME": str(specs.parent / "cache"),
        "XDG_STATE_HOME": str(specs.parent / "state"),
    }
    command = [sys.executable, "-m", "bateau", *words]
    return subprocess.run(
        command, cwd=specs, env={**environ, "NO_COLOR": "1"}, check=False, capture_output=True, text=True, timeout=60
    )


def test_a_file_in_utf_16_is_a_mistake_and_is_not_gone(specs: Path) -> None:
    (specs / "shop.yaml").write_bytes(APP.encode("utf-16"))
    done = bateau(specs, "check")
    assert done.returncode == 1
    assert "shop.yaml:1:1  the file is UTF-16, but specs must be UTF-8" in done.stdout


def test_links_in_a_circle_are_named(specs: Path) -> None:
    """`Path.resolve` raises RuntimeError for them in Python 3.11, which stopped every command as a bug."""
    (specs / "circle.yaml").symlink_to("circle.yaml")
    (specs.parent / "circle").symlink_to("circle")
    done = bateau(specs, "check")
    assert done.returncode == 0
    assert "circle.yaml:1:1  warning: this is a link to a file that does not exist" in done.stdout
    done = bateau(specs, "up", "-C", "../circle")
    assert "Directory '../circle' does not exist" in done.stderr
    done = bateau(specs, "render", "--env", "prod", "-o", "../circle/out")
    assert "error: cannot write ../circle/out/.bateau-rendered: Too many levels of symbolic links" in done.stderr


def test_files_of_other_programs_stop_nothing_and_can_be_excluded(specs: Path) -> None:
    """F18."""
    (specs / "testdata").mkdir()
    (specs / "testdata" / "utf16.yaml").write_bytes("a: b".encode("utf-16"))
    (specs / "testdata" / "policy.yaml").write_text("kind: Policy\nmetadata: {name: x}\nspec: {a: b}\n")
    done = bateau(specs, "check")
    assert done.returncode == 0, done.stdout
    assert (
        "testdata/policy.yaml:1:1  warning: this Policy has no apiVersion, so it is not read as a spec" in done.stdout
    )
    assert "testdata/utf16.yaml:1:1  warning: the file is UTF-16, so it is not read" in done.stdout
    (specs / "testdata" / "broken.yaml").write_text(APP.replace("image", "imgae"))
    assert bateau(specs, "check").returncode == 1
    (specs / ".bateauignore").write_text("testdata/\n")
    done = bateau(specs, "check")
    assert done.stdout.splitlines() == [
        "no errors, no warnings, 1 service",
        "3 files skipped by .bateauignore",
        "checked for prod",
    ]
    done = bateau(specs, "check", "--json")
    assert json.loads(done.stdout)["ignored"] == 3
    for words in (
        ("render", "--env", "prod"),
        ("explain", "shop", "spec.image", "--env", "prod"),
        ("admission", "--env", "prod"),
    ):
        assert bateau(specs, *words).returncode == 0


def test_links_and_pipes_that_are_not_read_are_named(specs: Path) -> None:
    (specs.parent / "outside.yaml").write_text(APP.replace("shop", "other"))
    (specs / "gone.yaml").symlink_to("nowhere")
    (specs / "out.yaml").symlink_to(specs.parent / "outside.yaml")
    os.mkfifo(specs / "pipe.yaml")
    done = bateau(specs, "check")
    assert done.returncode == 0
    assert done.stdout.splitlines()[:3] == [
        "gone.yaml:1:1  warning: this is a link to a file that does not exist, so it is not read",
        "out.yaml:1:1  warning: this is a link to a file outside the directory, so it is not read",
        "pipe.yaml:1:1  warning: this is not a regular file, so it is not read",
    ]


def test_a_large_file_hides_no_other_mistake_and_a_foreign_one_is_none(specs: Path) -> None:
    (specs / "data.yaml").write_text("a: 1\n" * 2_000_000)
    (specs / "image.yaml").write_bytes(b"\0\xff" * 2_000_000)
    done = bateau(specs, "check")
    assert done.returncode == 0
    assert "image.yaml:1:1  warning: the file is not UTF-8 text, so it is not read" in done.stdout
    (specs / "large.yaml").write_text(APP.replace("shop", "large") + "#" * 20_000_000)
    (specs / "wrong.yaml").write_text(APP.replace("shop", "x").replace("image", "imgae"))
    done = bateau(specs, "check")
    assert done.returncode == 1
    assert "large.yaml:1:1  the file is too large: more than 1,048,576 characters are not read" in done.stdout
    assert "unknown field `imgae`" in done.stdout


def test_what_cannot_be_read_makes_no_patch_wrong(specs: Path) -> None:
    patch = "spec: {values: {tag: '1'}, patches: [{match: {name: cart}, set: {spec.replicas: 2}}]}\n"
    (specs / "prod.yaml").write_text(PROD.rpartition("spec:")[0] + patch)
    (specs / "cart.yaml").write_text(APP.replace("shop", "cart") + "  x: [\n")
    done = bateau(specs, "check")
    assert "cart.yaml" in done.stdout
    assert "matches no document" not in done.stdout


@pytest.mark.parametrize("words", [("check",), ("explain", "shop", "spec.image"), ("render",)])
def test_without_an_environment_it_is_said_that_one_is_to_be_chosen(specs: Path, words: tuple[str, ...]) -> None:
    done = bateau(specs, *words)
    if words == ("check",):
        assert done.returncode == 0
        return
    assert "it reads `values`, but no environment was chosen\n  hint: choose one with --env: prod" in done.stderr


@pytest.mark.parametrize("name", ["Foo_Bar", "", "a.b", "-x"])
@pytest.mark.parametrize("command", ["render", "plan", "explain"])
def test_a_namespace_is_a_dns_label(specs: Path, command: str, name: str) -> None:
    subject = ["Deployment/shop"] if command == "explain" else []
    done = bateau(specs, command, *subject, "--env", "prod", "--namespace", name)
    assert done.returncode == 2
    assert "lower-case letters, digits and '-'" in done.stderr


def test_a_plan_is_not_made_against_nothing_or_another_environment(specs: Path) -> None:
    (specs.parent / "empty").mkdir()
    done = bateau(specs, "plan", "--env", "prod", "--against", str(specs.parent / "empty"))
    assert done.returncode == 3
    assert "needs Kubernetes objects, and there are none below" in done.stderr
    (specs / "test.yaml").write_text(PROD.replace("prod", "test"))
    assert bateau(specs, "render", "--env", "test", "--bundle", str(specs.parent / "b")).returncode == 0
    done = bateau(specs, "plan", "--env", "prod", "--against", str(specs.parent / "b"))
    assert done.returncode == 3
    assert "is a bundle of test, not of prod" in done.stderr


def test_manifests_are_not_written_among_the_specs(specs: Path) -> None:
    done = bateau(specs, "render", "--env", "prod", "-o", ".")
    assert done.returncode == 2
    assert ". contains specs: use another directory" in done.stderr
    assert sorted(path.name for path in specs.iterdir()) == ["prod.yaml", "shop.yaml"]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("history", "-n", "0"), "0 is too small; use 1 or more"),
        (("rollback", "shop", "--to", "99999999999999999999"), "99999999999999999999 is too large"),
        (("logs", "shop", "-n", "-1"), "-1 is too small; use 0 or more"),
        (("plan", "--env", "prod", "HEAD...HEAD"), "HEAD...HEAD has three dots"),
        (("admission", "--env", "nope"), "there is no Environment nope"),
        (("check", "-C", "../empty"), "no specs found below"),
    ],
)
def test_odd_options_are_refused(specs: Path, words: tuple[str, ...], says: str) -> None:
    (specs.parent / "empty").mkdir()
    done = bateau(specs, *words)
    assert done.returncode in {1, 2}
    assert says in done.stderr
