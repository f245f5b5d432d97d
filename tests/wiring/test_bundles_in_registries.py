"""A bundle in a registry is pushed by `render`, and read by every command that reads one from a file."""

from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from bateau.cli.controller import command as controller
from bateau.cli.explain import command as explain
from bateau.cli.plan import command as plan
from bateau.cli.render import command as render
from bateau.domain.errors import ControlError
from cluster.registries import Registry

HEAD = "apiVersion: bateau.dev/v1alpha1\n"
APP = f"{HEAD}kind: App\nmetadata: {{name: shop}}\nspec: {{image: 'r.example/shop:%s'}}\n"
ENVIRONMENTS = "---\n".join(f"{HEAD}kind: Environment\nmetadata: {{name: {each}}}\n" for each in ("prod", "staging"))


@pytest.fixture
def specs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "specs").mkdir()
    (tmp_path / "specs" / "specs.yaml").write_text(f"{APP % 1}---\n{ENVIRONMENTS}")
    return tmp_path / "specs"


def run(command: click.Command, specs: Path, *words: str) -> str:
    done = CliRunner().invoke(command, ["-C", str(specs), *words], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout


def refused(command: click.Command, *words: str) -> str:
    done = CliRunner().invoke(command, words)
    assert done.exit_code == 2, done.output
    return " ".join(done.stderr.split())


def test_a_bundle_in_a_registry_stands_for_a_file(specs: Path, registry: Registry) -> None:
    live = registry.reference("live")
    told = run(render, specs, "--env", "prod", "--bundle", live).strip()
    assert told.startswith(f"{live}@sha256:")
    assert run(render, specs, "--env", "prod", "--bundle", registry.reference("again")).strip().endswith(told[-64:])
    (specs / "specs.yaml").write_text(f"{APP % 2}---\n{ENVIRONMENTS}")
    for place in (live, told):
        assert "r.example/shop:1 -> r.example/shop:2" in run(plan, specs, "--env", "prod", "--against", place)
    image = ("Deployment/shop", "spec.template.spec.containers[0].image")
    assert "r.example/shop:1" in run(explain, specs, *image, "--bundle", live)
    with pytest.raises(ControlError, match="is a bundle of prod, not of staging"):
        run(plan, specs, "--env", "staging", "--against", live)


def test_without_a_tag_the_name_of_each_environment_is_the_tag(specs: Path, registry: Registry) -> None:
    place = f"oci://{registry.host}/{registry.repository}"
    told = run(render, specs, "--env", "prod", "--env", "staging", "--bundle", place).split()
    assert [each.partition("@")[0] for each in told] == [f"{place}:prod", f"{place}:staging"]
    assert "nothing changes" in run(plan, specs, "--env", "staging", "--against", place)


@pytest.mark.parametrize(
    ("command", "words", "says"),
    [
        (
            render,
            ("--env=a", "--env=b", "--bundle=oci://r.example/x:1"),
            "one tag for 2 environments: write oci://HOST/",
        ),
        (render, ("--bundle=oci://r.example/x",), "has no tag: add :TAG"),
        (render, (f"--bundle=oci://r.example/x:1@sha256:{'0' * 64}",), "has a digest, which follows from the content"),
        (render, ("--bundle=oci://me:hush@r.example/x:1",), "oci://r.example/x:1 is not a valid OCI reference"),
        (controller, ("--bundle=oci://r.example/x",), "has no tag: add :TAG"),
        (controller, ("--bundle=oci://r.example/x:1", "--repository=git+file:///x"), "either --repository or --bundle"),
        (controller, ("--bundle=oci://r.example/x:1", "--into=x"), "--into need --repository"),
    ],
)
def test_a_place_that_is_not_clear_is_a_usage_error(command: click.Command, words: tuple[str, ...], says: str) -> None:
    told = refused(command, *words)
    assert says in told
    assert "hush" not in told
