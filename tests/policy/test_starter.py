"""The starter set against its test documents, here and in the form an API server gets."""

from datetime import date
from pathlib import Path
from typing import Any

import pytest
import yaml

from bateau.kit.cel import evaluate
from bateau.policy import Policy, Subject, admission_policies, judge
from bateau.policy.matching import stage_of
from bateau.wiring.policies import starter_policies
from bateau.wiring.schemas import load_schemas

FIXTURES = Path(__file__).parent / "fixtures"
RENDERED = Path(__file__).parent.parent / "golden/kubernetes"
CASES = sorted(path for path in FIXTURES.rglob("*.yaml") if path.name != "expected.yaml")
TODAY = date(2026, 11, 24)
SCHEMAS = load_schemas()


def _policy(name: str) -> Policy:
    return next(each for each in starter_policies() if each.name == name)


def _rule(case: Path) -> tuple[str, str]:
    policy, _, rule = case.parent.name.partition(".")
    return policy, rule


def _trees(case: Path) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all(case.read_text()))


@pytest.mark.parametrize("case", CASES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_a_starter_rule_tells_its_test_documents_apart(case: Path) -> None:
    name, rule = _rule(case)
    policy = _policy(name)
    stage = stage_of(policy.spec.match)
    seen = [SCHEMAS.with_defaults(tree) if stage == "manifest" else tree for tree in _trees(case)]
    subjects = [Subject(stage=stage, label=str(tree["kind"]), tree=tree, owner="app/shop") for tree in seen]
    findings = [each for each in judge(subjects, [policy], today=TODAY) if each.rule == f"{name}/{rule}"]
    expected = yaml.safe_load((case.parent / "expected.yaml").read_text())["verdict"]
    assert [each.verdict for each in findings] == ([expected] if case.stem.startswith("fail") else [])
    assert not [each for each in findings if "evaluated" in each.says]


@pytest.mark.parametrize("case", CASES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_the_admission_form_of_a_starter_rule_says_the_same(case: Path) -> None:
    name, rule = _rule(case)
    trees, findings = admission_policies(_policy(name), today=TODAY)
    server = yaml.safe_load((case.parent / "expected.yaml").read_text())["server"]
    validation, spec = _validation(trees, rule, name)
    if validation is None:
        assert server == "no: not checked"
        assert [each for each in findings if each.rule in {f"{name}/*", f"{name}/{rule}"}]
        return
    (tree,) = map(SCHEMAS.with_defaults, _trees(case))
    names: dict[str, Any] = {"object": tree, "variables": {}}
    for variable in spec.get("variables", []):
        value = evaluate(variable["expression"], names)
        names = {**names, "variables": {**names["variables"], variable["name"]: value}}
    assert evaluate(validation["expression"], names) is case.stem.startswith("pass")
    if "messageExpression" in validation:
        assert str(evaluate(validation["messageExpression"], names)).startswith(f"{name}/{rule}: ")


def _validation(trees: Any, rule: str, name: str) -> tuple[dict[str, Any] | None, dict[str, Any]]:
    """Find a rule among the validations, as an API server would read them."""
    for tree in trees:
        for validation in tree["spec"].get("validations", []):
            told = validation["message"].partition(":")[0]
            if told == f"{name}/{rule}":
                return validation, tree["spec"]
    return None, {}


def test_every_starter_rule_has_documents_that_pass_and_that_fail() -> None:
    rules = {f"{policy.name}.{rule.name}" for policy in starter_policies() for rule in policy.spec.rules}
    assert {path.parent.name for path in CASES if path.stem.startswith("pass")} == rules
    assert {path.parent.name for path in CASES if path.stem.startswith("fail")} == rules


def test_the_base_document_keeps_every_starter_policy_for_manifests() -> None:
    case = FIXTURES / "images.pinned/pass-1.yaml"
    subjects = [Subject(stage="manifest", label="Deployment shop", tree=tree) for tree in _trees(case)]
    assert judge(subjects, starter_policies(), today=TODAY) == ()


@pytest.mark.parametrize("path", sorted(RENDERED.glob("*.yaml")), ids=lambda p: p.stem)
def test_every_rendered_pod_passes_the_restricted_standard(path: Path) -> None:
    policies = [policy for policy in starter_policies() if policy.name == "pod-security-restricted"]
    subjects = [Subject(stage="manifest", label=str(tree["kind"]), tree=tree) for tree in _trees(path)]
    assert any(subject.tree["kind"] == "Deployment" for subject in subjects)
    assert judge(subjects, policies, today=TODAY) == ()
