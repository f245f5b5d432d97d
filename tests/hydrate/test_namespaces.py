"""In which namespace a service is, and which services an environment leaves out (F4)."""

from typing import Any

import pytest

from bateau.domain.release import Release
from bateau.domain.workload import Workload
from bateau.hydrate import hydrate
from bateau.kit.json_value import object_at
from bateau.specs import read

HEAD = "apiVersion: bateau.dev/v1alpha1\n"


def app(name: str, metadata: str = "", spec: str = "") -> str:
    more = f", {metadata}" if metadata else ""
    return f"{HEAD}kind: App\nmetadata: {{name: {name}{more}}}\nspec: {{image: 'r.example/{name}:1'{spec}}}\n"


def environment(name: str, spec: str) -> str:
    return f"{HEAD}kind: Environment\nmetadata: {{name: {name}}}\nspec: {{{spec}}}\n"


def hydrated(*texts: str, environment: str | None = "prod", **given: Any) -> tuple[Release, list[str]]:
    reading = read({f"{index}.yaml": text for index, text in enumerate(texts)})
    assert [problem.says for problem in reading.problems] == []
    release, problems = hydrate(reading.specs, environment, **given)
    return release, [f"{problem.where}  {problem.says}" for problem in problems]


def only(*texts: str, **given: Any) -> Workload:
    release, problems = hydrated(*texts, **given)
    assert problems == []
    (service,) = release.services
    return service


PATCHED = "patches: [{match: {name: a}, set: {metadata.namespace: patched}}]"


@pytest.mark.parametrize(
    ("document", "written", "given", "namespace", "how"),
    [
        (app("a"), "", None, None, None),
        (app("a"), "namespace: env", None, "env", "value"),
        (app("a"), "namespace: env", "option", "option", "rule"),
        (app("a", "namespace: own"), "namespace: env", "option", "own", "written"),
        (app("a", "namespace: own"), f"namespace: env, {PATCHED}", "option", "patched", "patch"),
        (app("a", "namespace: own"), f"namespace: env, {PATCHED.replace('patched', 'null')}", None, "env", "value"),
        (app("a", "namespace: '${ values.ns }'"), "values: {ns: computed}", None, "computed", "value"),
    ],
)
def test_the_document_wins_over_the_option_and_the_option_over_the_environment(
    document: str, written: str, given: str | None, namespace: str | None, how: str | None
) -> None:
    service = only(document, environment("prod", written), namespace=given)
    assert service.namespace == namespace
    assert object_at(service.tree, "metadata").get("namespace") == namespace
    assert [step.how for step in service.origins.get("metadata.namespace", ())][-1:] == ([how] if how else [])


def test_an_environment_builds_on_the_namespace_of_another_and_may_change_it() -> None:
    base, prod = environment("base", "namespace: one"), environment("prod", "from: [base]")
    assert only(app("a"), base, prod).namespace == "one"
    prod = environment("prod", "from: [base], namespace: two")
    service = only(app("a"), base, prod)
    assert service.namespace == "two"
    assert [str(step.at) for step in service.origins["metadata.namespace"]] == ["2.yaml:4:33"]


def test_expressions_see_the_namespace() -> None:
    service = only(app("a", spec=", env: {NS: '${ metadata.namespace }'}"), environment("prod", "namespace: env"))
    assert service.env == {"NS": "env"}


def test_a_namespace_that_is_no_dns_label_is_an_error_where_it_is_written() -> None:
    values = environment("prod", "values: {ns: No_Name}")
    _, problems = hydrated(app("a", "namespace: '${ values.ns }'"), values)
    assert len(problems) == 1
    assert problems[0].startswith("1.yaml:4:21  metadata.namespace is")


@pytest.mark.parametrize(
    ("exclude", "left"),
    [
        ("[]", ["app/a", "app/b"]),
        ("[app/b]", ["app/a"]),
        ("['app/*']", []),
        ("['*/b']", ["app/a"]),
    ],
)
def test_an_environment_leaves_services_out_by_key_or_glob(exclude: str, left: list[str]) -> None:
    release, problems = hydrated(app("a"), app("b"), environment("prod", f"exclude: {exclude}"))
    assert problems == []
    assert [service.key for service in release.services] == left


def test_what_an_environment_leaves_out_those_that_build_on_it_leave_out_as_well() -> None:
    base, prod = environment("base", "exclude: [app/b]"), environment("prod", "from: [base], exclude: [app/c]")
    release, problems = hydrated(app("a"), app("b"), app("c"), base, prod)
    assert problems == []
    assert [service.key for service in release.services] == ["app/a"]
    release, _ = hydrated(app("a"), app("b"), app("c"), base, prod, environment=None)
    assert len(release.services) == 3


def test_a_patch_for_a_service_that_is_left_out_is_no_error() -> None:
    patch = "patches: [{match: {name: b}, set: {spec.replicas: 2}}]"
    _, problems = hydrated(app("a"), app("b"), environment("prod", f"exclude: [app/b], {patch}"))
    assert problems == []


def test_a_service_that_is_left_out_is_not_evaluated() -> None:
    broken = app("b", spec=", env: {A: '${ values.nowhere }'}")
    release, problems = hydrated(app("a"), broken, environment("prod", "exclude: [app/b]"))
    assert problems == []
    assert [service.key for service in release.services] == ["app/a"]


def test_to_use_what_is_left_out_is_an_error_at_the_reference() -> None:
    user = app("a", spec=", uses: [app/b]")
    _, problems = hydrated(user, app("b"), environment("prod", "exclude: ['app/b*']"))
    assert problems == [
        "0.yaml:4:39  uses `app/b`, which environment prod excludes (`app/b*`)",
    ]
    patched = "exclude: ['app/b*'], patches: [{match: {name: a}, set: {spec.uses: []}}]"
    _, problems = hydrated(user, app("b"), environment("prod", patched))
    assert problems == []
