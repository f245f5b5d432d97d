"""Repositories in public shapes: each object is that of its own tool, or refused for one precise reason."""

import subprocess
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from bateau.control.delivery import Rendered
from bateau.kit.json_value import text_at
from bateau.kit.yaml_go import KUBECTL
from bateau.kit.yaml_tree import read_documents
from bateau.wiring.delivery import rendered, rendered_at
from bateau.wiring.question import Question
from bateau.wiring.written import check_directory
from git.workshop import Workshop
from sources.foreign.programs import helm, kubectl
from wiring.layouts import ARGO, ENVIRONMENT, FLUX, app

APPS = {
    "bateau/apps.yaml": app("apps", 'kustomization: "../apps/${ values.name }"'),
    "bateau/controllers.yaml": app("controllers", "kustomization: ../infrastructure/controllers"),
    "bateau/configs.yaml": app("configs", "kustomization: ../infrastructure/configs"),
    "bateau/sync.yaml": app("sync", 'manifests: ["../clusters/${ values.name }/*.yaml"]'),
    **{
        f"bateau/{name}.yaml": ENVIRONMENT % name + f"spec: {{values: {{name: {name}}}}}\n"
        for name in ("production", "staging")
    },
}
# What an App names in the example apps, with the kinds and names that come out of it.
ACCEPTED = {
    "manifests: [../guestbook/*.yaml]": ["Deployment guestbook-ui", "Service guestbook-ui"],
    "kustomization: ../kustomize-guestbook": ["Deployment kustomize-guestbook-ui", "Service kustomize-guestbook-ui"],
    "chart: {source: ../helm-guestbook, valueFiles: [../helm-guestbook/values-production.yaml]}": [
        "Deployment helm-guestbook"
    ],
    "manifests: [../pre-post-sync/deployment.yaml, ../pre-post-sync/pre-sync-job.yaml]": [
        "Deployment hooked",
        "Job before",
    ],
    "chart: {source: ../blue-green}": ["Rollout shop"],
    "chart: {source: ../apps}": ["Application guestbook", "Application sync-waves"],
    "kustomization: ../sock-shop/base": ["Deployment carts", "Service catalogue"],
}
REFUSED = {
    "chart: {source: ../helm-dependency}": "wordpress",
    "manifests: [../jsonnet-guestbook/*]": "`../jsonnet-guestbook/*` matches no YAML or JSON file",
    "manifests: [../helm-guestbook/templates/*.yaml]": "looks like the template of a Helm chart",
    "manifests: [../kustomize-guestbook/*.yaml]": "this is a kustomization",
    "kustomization: ../guestbook": "the directory guestbook has no kustomization.yaml",
}


def laid(tmp_path: Path, *files: Mapping[str, str]) -> Workshop:
    workshop = Workshop(tmp_path / "acme")
    for name, text in (each for group in files for each in group.items()):
        path = workshop.directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode("utf-8", "surrogateescape"))
    workshop.commit("one")
    return workshop


def both(workshop: Workshop, environment: str | None) -> Rendered:
    """Return what the directory is rendered to, which is what its commit is rendered to."""
    question = Question(directory=workshop.directory, environment=environment)
    directory, commit = rendered(question), rendered_at(question, "HEAD")
    assert [each.tree for each in commit.manifests] == [each.tree for each in directory.manifests]
    assert commit.written.problems == directory.written.problems
    assert [each.says for each in commit.findings] == [each.says for each in directory.findings]
    return directory


def objects(text: str) -> list[Any]:
    documents, unread = read_documents("out", text, dialect=KUBECTL)
    assert unread == []
    return [document.tree for document in documents]


def built(folder: Path) -> list[Any]:
    done = subprocess.run([kubectl(), "kustomize", folder], capture_output=True, check=True, text=True)
    return objects(done.stdout)


def sorted_by_name(trees: list[Any]) -> list[Any]:
    return sorted(trees, key=lambda tree: (tree["kind"], tree["metadata"]["name"], str(tree["metadata"])))


@pytest.mark.parametrize("environment", ["production", "staging"])
def test_the_example_of_flux_is_what_kustomize_builds(tmp_path: Path, environment: str) -> None:
    kubectl()
    workshop = laid(tmp_path, FLUX, APPS)
    found = both(workshop, environment)
    folders = (f"apps/{environment}", "infrastructure/controllers", "infrastructure/configs")
    expected = [tree for folder in folders for tree in built(workshop.directory / folder)]
    for path in sorted((workshop.directory / "clusters" / environment).glob("*.yaml")):
        expected += objects(path.read_text())
    assert sorted_by_name([dict(each.tree) for each in found.manifests]) == sorted_by_name(expected)
    assert not found.wrong


def test_every_finding_about_the_example_of_flux_is_made_once(tmp_path: Path) -> None:
    kubectl()
    workshop = laid(tmp_path, FLUX, APPS)
    checked = check_directory(workshop.directory)
    assert [str(each.where) for each in checked.problems if each.severity == "error"] == []
    repeated = [
        said for said, count in Counter((each.where, each.says) for each in checked.problems).items() if count > 1
    ]
    assert repeated == []


@pytest.mark.parametrize("spec", ACCEPTED)
def test_the_example_apps_of_argo_cd_are_accepted(tmp_path: Path, spec: str) -> None:
    kubectl()
    helm()
    workshop = laid(tmp_path, ARGO, {"bateau/shop.yaml": app("shop", spec)})
    found = both(workshop, None)
    assert [each.says for each in found.written.problems if each.severity == "error"] == []
    names = [f"{each.tree['kind']} {text_at(each.tree, 'metadata', 'name')}" for each in found.manifests]
    assert sorted(names) == ACCEPTED[spec]


@pytest.mark.parametrize("spec", REFUSED)
def test_another_form_is_refused_for_one_reason(tmp_path: Path, spec: str) -> None:
    kubectl()
    helm()
    workshop = laid(tmp_path, ARGO, {"bateau/shop.yaml": app("shop", spec)})
    found = both(workshop, None)
    (problem,) = [each for each in found.written.problems if each.severity == "error"]
    assert REFUSED[spec] in problem.says
    assert problem.where is not None


def test_each_object_with_a_generated_name_has_one_reason_at_its_place(tmp_path: Path) -> None:
    spec = "manifests: [../pre-post-sync/*.yaml, ../sync-waves/*.yaml]"
    workshop = laid(tmp_path, ARGO, {"bateau/shop.yaml": app("shop", spec)})
    found = both(workshop, None)
    said = [*found.written.problems, *found.findings]
    places = [each.where.file for each in said if each.where and "generateName" in each.says]
    assert sorted(places) == ["pre-post-sync/post-sync-job.yaml", "sync-waves/manifests.yaml"]


def test_files_of_other_tools_are_counted_or_warned_about_and_stop_nothing(tmp_path: Path) -> None:
    """F18."""
    workshop = laid(tmp_path, ARGO, {"bateau/shop.yaml": app("shop", "manifests: [../guestbook/*.yaml]")})
    checked = check_directory(workshop.directory)
    assert [f"{each.where} {each.severity}" for each in checked.problems] == [
        "test/policy.yaml:1:1 warning",
        "test/utf16.yaml:1:1 warning",
    ]
    (workshop.directory / ".bateauignore").write_text("/test/\n")
    checked = check_directory(workshop.directory)
    assert (checked.problems, checked.ignored) == ((), 2)
