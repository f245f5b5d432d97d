"""Objects that Kubernetes names itself (`metadata.generateName`) are included, told apart and reported (F30)."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from bateau.cli.explain import command as explain
from bateau.control.bundle import read_bundle
from bateau.kit.json_value import array_at, object_at
from bateau.wiring.packing import Packer
from bateau.wiring.question import Question
from bateau.wiring.written import check_directory

HEAD = "apiVersion: bateau.dev/v1alpha1\n"
JOB = """\
---
apiVersion: batch/v1
kind: Job
metadata: {generateName: migrate-}
spec: {template: {spec: {restartPolicy: Never, containers: [{name: %s, image: "r.example/a:1"}]}}}
"""
POLICY = f"""{HEAD}kind: Policy
metadata: {{name: house}}
spec:
  match: {{kinds: [Job]}}
  rules: [{{name: named, check: "metadata.name.startsWith('migrate-')", message: "'no'"}}]
"""
PATCH = f"""{HEAD}kind: Environment
metadata: {{name: prod}}
spec: {{patches: [{{match: {{kind: Job, name: "migrate-*"}}, set: {{spec.backoffLimit: 3}}}}]}}
"""
SAYS = (
    "has no name (metadata.generateName): `bateau apply` creates it once for each content; `kubectl apply` rejects it, "
    "and `kubectl create` creates it again each time"
)


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    folder = tmp_path / "repo"
    folder.mkdir()
    for name, jobs in (("a", [f"c{number}" for number in range(12)]), ("b", ["other"])):
        app = f"{HEAD}kind: App\nmetadata: {{name: {name}}}\nspec: {{manifests: [{name}.yaml]}}\n"
        (folder / f"{name}.app.yaml").write_text(app)
        (folder / f"{name}.yaml").write_text("".join(JOB % each for each in jobs))
    (folder / "policy.yaml").write_text(POLICY)
    (folder / "prod.yaml").write_text(PATCH)
    return folder


@pytest.fixture
def packer(repo: Path, tmp_path: Path) -> Iterator[Packer]:
    question = Question(directory=repo, environment="prod", namespace="default", starter=False, kubernetes="1.37")
    made = Packer(question, cache=tmp_path)
    yield made
    made.close()


def test_each_of_them_is_a_warning_and_the_app_is_not_refused(repo: Path) -> None:
    """F30: one `generateName` refused the whole App. Policies see a name, and equal ones are not one object."""
    checked = check_directory(repo)
    assert not checked.wrong
    says = [each.says for each in checked.problems if "migrate" in each.says]
    assert len(says) == 13
    assert f"foreign, app/a: Job migrate-* {SAYS}" in says
    assert f"foreign, app/a: Job migrate-*12 {SAYS}" in says


def test_a_bundle_tells_them_apart(packer: Packer) -> None:
    packed = packer.pack("prod")
    assert not packed.wrong
    back = [each for each in read_bundle(packer.bundle(packed), "it") if each.service == "app/a"]
    containers = [object_at(array_at(each.tree, "spec", "template", "spec", "containers")[0])["name"] for each in back]
    assert containers == [f"c{number}" for number in range(12)]
    assert [each.name for each in back] == ["migrate-*", *(f"migrate-*{number}" for number in range(2, 13))]
    path = "spec.template.spec.containers[0].name"
    assert [each.origins[path][-1].value for each in back] == containers
    assert [object_at(each.tree, "spec")["backoffLimit"] for each in back] == [3] * 12


def test_explain_takes_the_name_that_is_shown(repo: Path) -> None:
    words = ["Job/migrate-*3", "spec.template.spec.containers[0].name", "--env", "prod", "-C", str(repo)]
    done = CliRunner().invoke(explain, words)
    assert done.exit_code == 0, done.output
    assert done.output.splitlines()[0] == "c2"
    assert "a.yaml:15:" in done.output
