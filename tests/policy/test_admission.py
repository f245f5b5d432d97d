"""Policies for an API server, and the rules that it cannot evaluate."""

from datetime import date
from typing import Any

import yaml

from bateau.kit.cel import evaluate
from bateau.policy import admission_policies
from policy.documents import policy

TODAY = date(2026, 11, 24)


def _rendered(text: str, **given: Any) -> tuple[list[dict[str, Any]], list[str]]:
    trees, findings = admission_policies(policy(text), today=TODAY, **given)
    assert {each.verdict for each in findings} <= {"not checked"}
    return [dict(tree) for tree in trees], [f"{each.rule}: {each.says}" for each in findings]


def test_a_policy_and_its_binding_keep_the_rules_text() -> None:
    text = """
match: {kinds: [Deployment, Pod], names: ['shop-*'], namespaces: [prod], labels: {tier: web}}
params: {min: 2, teams: [search, ads]}
rules:
  - name: spare
    check: spec.replicas >= params.min && metadata.labels.team in params.teams && object.metadata.name != 'spec'
    message: "'too few: ' + kind"
"""
    (admission, binding), findings = _rendered(text)
    assert findings == []
    assert (
        yaml.safe_load(
            """
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata: {name: house}
spec:
  failurePolicy: Fail
  matchConstraints:
    matchPolicy: Equivalent
    objectSelector: {matchLabels: {tier: web}}
    resourceRules:
      - {apiGroups: [''], apiVersions: [v1], operations: [CREATE, UPDATE], resources: [pods]}
      - {apiGroups: [apps], apiVersions: [v1], operations: [CREATE, UPDATE], resources: [deployments]}
  matchConditions:
    - {name: names, expression: 'has(object.metadata.name) && object.metadata.name.matches("^(?:shop-.*)$")'}
    - name: namespaces
      expression: '(has(object.metadata.namespace) ? object.metadata.namespace : "").matches("^(?:prod)$")'
  variables:
    - {name: metadata, expression: 'has(object.metadata) ? object.metadata : dyn({})'}
    - {name: spec, expression: 'has(object.spec) ? object.spec : dyn({})'}
    - {name: params, expression: '{"min": dyn(2), "teams": dyn([dyn("search"), dyn("ads")])}'}
  validations:
    - expression: >-
        variables.spec.replicas >= variables.params.min && variables.metadata.labels.team in variables.params.teams
        && object.metadata.name != 'spec'
      message: >-
        house/spare: `spec.replicas >= params.min && metadata.labels.team in params.teams
        && object.metadata.name != 'spec'` is violated
      messageExpression: >-
        "house/spare: " + string('too few: ' + object.kind).replace("\\r", " ").replace("\\n", " ")
      reason: Invalid
"""
        )
        == admission
    )
    assert binding["spec"] == {"policyName": "house", "validationActions": ["Deny"]}


def test_warnings_are_a_policy_of_their_own_that_warns() -> None:
    text = """
match: {kinds: [Pod]}
rules: [{name: a, check: 'true', message: a}, {name: b, check: 'true', message: b, severity: warning}]
"""
    trees, _ = _rendered(text)
    actions = [(tree["metadata"]["name"], tree["spec"].get("validationActions")) for tree in trees]
    assert actions == [("house", None), ("house", ["Deny"]), ("house-warnings", None), ("house-warnings", ["Warn"])]


def test_only_variables_that_are_used_are_rendered_in_their_order() -> None:
    text = """
match: {kinds: [Pod]}
variables: [{name: one, expression: spec.a}, {name: unused, expression: spec.b}, {name: two, expression: variables.one}]
rules: [{name: a, check: variables.two == 1, message: a}]
"""
    (admission, _), _ = _rendered(text)
    assert admission["spec"]["variables"] == [
        {"name": "spec", "expression": "has(object.spec) ? object.spec : dyn({})"},
        {"name": "one", "expression": "variables.spec.a"},
        {"name": "two", "expression": "variables.one"},
    ]


def test_an_exception_lifts_its_rule_at_the_server_and_its_end_is_said() -> None:
    text = """
match: {kinds: [Pod]}
rules: [{name: a, check: "false", message: a}, {name: b, check: "false", message: b}]
exceptions:
  - {rules: [a], owner: search, reason: r, until: '2027-01-31', kinds: [Pod], names: ['shop-*']}
  - {rules: [a], owner: ads, reason: r, until: '2026-01-31'}
  - {rules: [a], owner: web, reason: r, until: '2027-01-31', files: ['legacy/*']}
"""
    (admission, _), findings = _rendered(text)
    first, second = admission["spec"]["validations"]
    for name, kept in (("shop-1", True), ("cart", False)):
        assert evaluate(first["expression"], {"object": {"kind": "Pod", "metadata": {"name": name}}}) is kept
    assert second["expression"] == "false"
    assert len(findings) == 2
    assert "search ends after 2027-01-31, and a policy at an API server has no clock" in findings[0]
    assert "web is for files" in findings[1]


def test_what_cannot_mean_the_same_is_said_and_not_rendered() -> None:
    for text, says in (
        ("match: {kinds: [App]}\nrules: [{name: a, check: 'true', message: a}]", "judges hydrated services"),
        ("match: {kinds: [Environment]}\nrules: [{name: a, check: 'true', message: a}]", "judges documents as written"),
        ("match: {kinds: [Gizmo]}\nrules: [{name: a, check: 'true', message: a}]", "Gizmo"),
        ("match: {kinds: [Pod]}\nrules: [{name: a, check: size(siblings) > 0, message: a}]", "reads siblings"),
        ("match: {kinds: [Pod]}\nrules: [{name: a, check: environment.name == 'x', message: a}]", "reads environment"),
        (
            "match: {environments: [x]}\nrules: [{name: a, check: 'true', message: a}]",
            "that of the cluster is not known",
        ),
    ):
        trees, findings = _rendered(text)
        assert trees == []
        assert len(findings) == 1 and says in findings[0], findings


def test_a_known_environment_is_written_into_the_policy() -> None:
    text = "match: {kinds: [Pod]}\nrules: [{name: a, check: environment.name == 'x', message: a}]"
    (admission, _), findings = _rendered(text, environment={"name": "x"})
    assert findings == []
    assert admission["spec"]["variables"] == [{"name": "environment", "expression": '{"name": dyn("x")}'}]


def test_a_rule_that_ends_in_a_comment_can_be_lifted() -> None:
    text = """
match: {kinds: [Deployment]}
rules: [{name: one, check: "spec.replicas == 1 // for now", message: "'no' // really"}]
exceptions: [{rules: [one], names: [shop], owner: a, reason: b, until: 2027-01-01}]
"""
    (admission, _), _ = _rendered(text)
    (validation,) = admission["spec"]["validations"]
    tree = {"metadata": {"name": "cart"}, "spec": {"replicas": 1}}
    names = {"object": tree, "variables": {"spec": tree["spec"]}}
    assert evaluate(validation["expression"], names) is True
    assert evaluate(validation["messageExpression"], names) == "house/one: no"


def test_a_kind_of_another_group_and_a_number_beyond_cel_are_said() -> None:
    text = """
match: {kinds: [Service], groups: [serving.knative.dev]}
rules: [{name: one, check: "true", message: no}]
"""
    trees, findings = _rendered(text)
    assert trees == []
    assert findings == ["house/*: the policy matches Service of serving.knative.dev, whose resource is not known here"]
    large = """
match: {kinds: [Service]}
params: {most: [!!int 99999999999999999999]}
rules: [{name: one, check: "size(params.most) > 0", message: no}]
"""
    assert _rendered(large) == (
        [],
        ["house/one: the rule reads params with a number beyond 64 bits, which CEL cannot express"],
    )
