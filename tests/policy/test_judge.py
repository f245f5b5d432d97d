"""What judge says of subjects, and what it refuses to be silent about."""

from datetime import date
from itertools import permutations
from typing import Any

from bateau.domain.origin import Origin
from bateau.kit.position import Position
from bateau.policy import Subject, judge
from policy.documents import manifest, policies, policy, service

TODAY = date(2026, 11, 24)
OWNER = """
match: {kinds: [App]}
rules:
  - name: owner
    check: has(metadata.labels.team)
    message: "'no team on ' + metadata.name"
    path: metadata.labels
"""
SHOP = "{metadata: {name: shop, labels: {}}, spec: {replicas: 1}}"


def _deployment(name: str = "shop", **spec: Any) -> dict[str, Any]:
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name}, "spec": spec}


def test_a_broken_rule_is_a_finding_with_its_message_and_the_place_of_its_field() -> None:
    subject = service(SHOP, metadata_labels=Position("shop.yaml", 4, 11))
    (finding,) = judge([subject], [policy(OWNER)], today=TODAY)
    assert (finding.rule, finding.subject, finding.verdict) == ("house/owner", "app/shop", "error")
    assert finding.says == "no team on shop"
    assert str(finding.where) == "shop.yaml:4:11"


def test_a_finding_points_at_the_patch_that_gave_the_value() -> None:
    at = Position("prod.yaml", 12, 9)
    written = Origin("written", Position("shop.yaml", 7, 13), 2)
    subject = Subject(
        stage="manifest",
        label="Deployment shop",
        tree=_deployment(replicas=1),
        origins={"spec.replicas": (written, Origin("patch", at, 1), Origin("rule", None, 1))},
    )
    rule = "rules: [{name: two, check: spec.replicas >= 2, message: too few, path: spec.replicas}]"
    (finding,) = judge([subject], [policy(rule)], today=TODAY)
    assert (finding.says, finding.where) == ("too few", at)


def test_a_rule_that_cannot_be_evaluated_is_an_error_and_never_a_pass() -> None:
    rule = "rules: [{name: deep, check: spec.template.metadata.x == 1, message: no, severity: warning}]"
    (finding,) = judge([manifest(_deployment())], [policy(rule)], today=TODAY)
    assert finding.verdict == "error"
    assert finding.says == 'the rule cannot be evaluated: Key not found in map : "template"'


def test_a_rule_over_more_than_the_budget_is_an_error() -> None:
    rule = "rules: [{name: loop, check: 'spec.l.all(a, spec.l.all(b, spec.l.all(c, true)))', message: no}]"
    (finding,) = judge([manifest(_deployment(l=list(range(100))))], [policy(rule)], today=TODAY)
    assert "Iteration budget exceeded" in finding.says


def test_a_variable_that_fails_matters_only_where_it_is_read() -> None:
    text = """
variables: [{name: template, expression: object.spec.template}]
rules: [{name: careful, check: "!has(spec.template) || variables.template.ok", message: no},
        {name: careless, check: variables.template.ok, message: no}]
"""
    (finding,) = judge([manifest(_deployment())], [policy(text)], today=TODAY)
    assert finding.rule == "house/careless"
    assert "variables.template: Key not found" in finding.says


def test_an_exception_holds_through_its_last_day_and_then_is_found_itself() -> None:
    text = f"{OWNER}exceptions: [{{owner: search, reason: moves in spring, until: '2027-03-31', names: [sh*]}}]"
    (finding,) = judge([service(SHOP)], [policy(text)], today=date(2027, 3, 31))
    assert finding.verdict == "excepted"
    assert finding.says == "no team on shop (excepted by search until 2027-03-31: moves in spring)"
    expired, bound = judge([service(SHOP)], [policy(text)], today=date(2027, 4, 1))
    assert (expired.rule, expired.verdict) == ("house/exceptions", "warning")
    assert str(expired.where).startswith("house.yaml:")
    assert bound.verdict == "error"


def test_an_exception_for_other_objects_lifts_nothing() -> None:
    for only in ("names: [cart]", "kinds: [Model]", "environments: [dev]", "files: ['legacy/*']"):
        text = f"{OWNER}exceptions: [{{owner: search, reason: moves, until: '2027-03-31', {only}}}]"
        (finding,) = judge([service(SHOP)], [policy(text)], today=TODAY)
        assert finding.verdict == "error", only


def test_what_cannot_be_judged_here_is_said() -> None:
    text = """
rules: [{name: who, check: request.userInfo.username != 'root', message: no},
        {name: where, check: environment.name != 'prod' || spec.replicas > 1, message: no}]
"""
    findings = judge([manifest(_deployment(replicas=1))], [policy(text)], today=TODAY)
    assert [(each.rule, each.verdict) for each in findings] == [
        ("house/who", "not checked"),
        ("house/where", "not checked"),
    ]
    in_prod = judge([manifest(_deployment(replicas=1))], [policy(text)], today=TODAY, environment={"name": "prod"})
    assert [(each.rule, each.verdict) for each in in_prod] == [("house/who", "not checked"), ("house/where", "error")]


def test_a_policy_for_some_environments_is_silent_in_the_others() -> None:
    text = OWNER.replace("{kinds: [App]}", "{kinds: [App], environments: [prod*]}")
    assert judge([service(SHOP)], [policy(text)], today=TODAY, environment={"name": "dev"}) == ()
    (bound,) = judge([service(SHOP)], [policy(text)], today=TODAY, environment={"name": "prod-eu"})
    assert (bound.verdict, bound.environment) == ("error", "prod-eu")
    (unknown,) = judge([service(SHOP)], [policy(text)], today=TODAY)
    assert unknown.verdict == "not checked"


def test_parameters_are_the_policys_unless_overridden() -> None:
    text = "params: {min: 1}\nrules: [{name: few, check: spec.replicas >= params.min, message: few}]"
    subject = manifest(_deployment(replicas=1))
    assert judge([subject], [policy(text)], today=TODAY) == ()
    assert len(judge([subject], [policy(text)], today=TODAY, params={"house": {"min": 2}})) == 1


def test_match_by_group_name_namespace_and_label() -> None:
    tree = _deployment()
    tree["metadata"] |= {"namespace": "shop-prod", "labels": {"tier": "web"}}
    rule = "rules: [{name: never, check: 'false', message: no}]"
    for condition, count in (
        ("groups: [apps]", 1),
        ("groups: [batch]", 0),
        ("names: ['sh?p']", 1),
        ("names: ['SH?P']", 0),
        ("names: ['sh[ao]p']", 1),
        ("names: ['s*']", 1),
        ("names: [cart]", 0),
        ("namespaces: ['*-prod']", 1),
        ("namespaces: [dev]", 0),
        ("labels: {tier: web}", 1),
        ("labels: {tier: db}", 0),
        ("stage: spec", 0),
    ):
        found = judge([manifest(tree)], [policy(f"match: {{{condition}}}\n{rule}")], today=TODAY)
        assert len(found) == count, condition


def test_the_order_of_subjects_never_matters() -> None:
    rule = policy("rules: [{name: never, check: 'false', message: no}]")
    subjects = [manifest(_deployment(name)) for name in ("a", "b", "c")]
    results = {judge(order, [rule], today=TODAY) for order in permutations(subjects)}
    assert len(results) == 1


def test_all_mistakes_of_a_policy_are_found_at_once_with_their_places() -> None:
    text = """
match: {kinds: [App, Deployment]}
variables: [{name: spec, expression: "1"}, {name: late, expression: variables.later}]
rules:
  - {name: typo, check: metdata.name == 'x', message: no}
  - {name: typo, check: size(spec), message: no}
  - {name: words, check: "true", message: "'a' + b"}
  - {name: shadow, check: "spec.l.all(kind, kind == 1)", message: no}
exceptions: [{owner: a, reason: b, until: '2027-02-31', rules: [typ]}]
"""
    found, problems = policies(text)
    assert found == ()
    says = "\n".join(f"{each.where}: {each.says} ({each.hint})" for each in problems)
    for expected in (
        "mixes Bateau's kinds (App)",
        "the variable `spec` already exists",
        "reads variables.later",
        "undeclared reference to 'metdata",
        "two rules are named `typo`",
        "gives int; expected true or false",
        "undeclared reference to 'b'",
        "uses `kind` as the variable of a macro",
        "'2027-02-31' is not a date",
        "did you mean `typo`?",
    ):
        assert expected in says, says
    assert all(each.where and each.where.line > 4 for each in problems)


def test_an_exception_without_an_owner_is_a_problem() -> None:
    from bateau.specs import read

    text = (
        "apiVersion: bateau.dev/v1alpha1\nkind: Policy\nmetadata: {name: house}\n"
        "spec: {rules: [], exceptions: [{reason: because, until: '2027-01-01'}]}\n"
    )
    (problem,) = read({"house.yaml": text}).problems
    assert problem.says == "spec.exceptions[0].owner is missing"
