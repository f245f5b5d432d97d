"""`explain` finds the object that a name means, and says so where it could mean several (F13)."""

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from bateau.cli.explain import command
from bateau.wiring.written import check_directory

HEAD = "apiVersion: bateau.dev/v1alpha1\nkind: App\n"
CONFIG = "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: x, namespace: %s}\ndata: {k: from-%s}\n"
FUNCTION = "---\napiVersion: serving.knative.dev/v1\nkind: Service\nmetadata: {name: web, namespace: a}\n"
SERVICE = "---\napiVersion: v1\nkind: Service\nmetadata: {name: web, namespace: a}\nspec: {ports: [{port: 80}]}\n"


@pytest.fixture
def specs(tmp_path: Path) -> Path:
    for name in ("a", "b"):
        (tmp_path / f"{name}.app.yaml").write_text(
            f"{HEAD}metadata: {{name: {name}}}\nspec: {{manifests: [{name}.yaml]}}\n"
        )
        (tmp_path / f"{name}.yaml").write_text(CONFIG % (name, name))
    (tmp_path / "a.yaml").write_text(CONFIG % ("a", "a") + FUNCTION + SERVICE)
    return tmp_path


def explain(specs: Path, *words: str) -> Result:
    return CliRunner().invoke(command, [*words, "-C", str(specs)])


@pytest.mark.parametrize("words", [("ConfigMap/a/x", "data.k"), ("configmap/x", "data.k", "-n", "a")])
def test_a_namespace_selects_among_equal_names(specs: Path, words: tuple[str, ...]) -> None:
    """F13: the answer was that of namespace b, also with `-n a`."""
    done = explain(specs, *words)
    assert done.exit_code == 0, done.output
    assert done.output.splitlines()[0] == "from-a"
    assert "a.yaml:5:11" in done.output


def test_two_apps_may_have_equal_objects_in_two_namespaces_and_explain_asks_which(specs: Path) -> None:
    """F30: equal names in two namespaces are two objects."""
    assert not check_directory(specs).wrong
    done = explain(specs, "ConfigMap/x", "data.k")
    assert done.exit_code == 2
    assert "ConfigMap/x fits 2 objects: ConfigMap/a/x, ConfigMap/b/x" in done.output


def test_a_group_tells_equal_kinds_apart(specs: Path) -> None:
    done = explain(specs, "Service/web", "spec")
    assert done.exit_code == 2
    assert "fits 2 objects: Service/a/web, Service.serving.knative.dev/a/web" in done.output
    done = explain(specs, "service.serving.knative.dev/web", "apiVersion")
    assert done.output.splitlines()[0] == "serving.knative.dev/v1"


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("ConfigMap/c/x",), "ConfigMap/c/x is not in namespace c; it exists as ConfigMap/a/x, ConfigMap/b/x"),
        (("ConfigMap/x", "data", "-n", "default"), "is not in namespace default"),
        (("ConfigMap/y",), "did you mean `ConfigMap/x`?"),
        (("ConfigMap/a/b/x",), "is not the name of an object: write KIND/NAME or KIND/NAMESPACE/NAME"),
        (("ConfigMap/",), "is not the name of an object"),
    ],
)
def test_a_name_that_fits_nothing_is_an_error_with_a_hint(specs: Path, words: tuple[str, ...], says: str) -> None:
    done = explain(specs, *words)
    assert done.exit_code == 2
    assert says in " ".join(done.output.split())


def test_a_field_that_a_patch_removes_names_the_patch(specs: Path) -> None:
    """F32: it was reported as a field that the object has never had."""
    (specs / "prod.yaml").write_text(
        "apiVersion: bateau.dev/v1alpha1\nkind: Environment\nmetadata: {name: prod}\n"
        "spec: {patches: [{match: {kind: ConfigMap}, set: {data.k: null}}]}\n"
    )
    done = explain(specs, "ConfigMap/a/x", "data.k", "--env", "prod")
    assert done.exit_code == 2
    assert "ConfigMap/a/x has no data.k: the patch at prod.yaml:4:59 removes it" in done.output
