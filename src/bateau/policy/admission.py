"""Turn a policy into ValidatingAdmissionPolicies with their bindings.

Called by control.admission. The text of a rule stays as it is except for its names: an API server has `object` and
`variables`, and rules here also have short names.

  here                     at the API server
  object                   object
  metadata, spec           variables.metadata, variables.spec     (object.metadata, object.spec, or an empty map)
  kind                     object.kind
  params                   variables.params                       (written into the policy, types kept)
  environment              variables.environment                  (written into the policy, when given)
  variables.NAME           variables.NAME
  siblings                 unavailable: a finding

Source: admissionregistration.k8s.io/v1. One policy for each severity, as `validationActions` stand in the binding.

Invariant: a rule has the same meaning at the API server, or a finding says why it is not there. Held by
tests/policy/test_admission.py and tests/policy/test_starter.py.
Refused: paramKind with a ConfigMap; it would turn every parameter into a string.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Final

from bateau.domain.api_resources import resources_of
from bateau.domain.finding import Finding
from bateau.domain.rules import PolicyMatch, Rule, Waiver
from bateau.kit.cel import result_type
from bateau.kit.cel_reading import renamed
from bateau.kit.json_value import ReadJson, ReadObject
from bateau.policy.judging import EnvironmentView, names_behind
from bateau.policy.matching import any_glob, stage_of
from bateau.policy.written import ALL_NAMES, Policy, read_names

API: Final = "admissionregistration.k8s.io/v1"
_RENAMED: Final = {
    "metadata": "variables.metadata",
    "spec": "variables.spec",
    "params": "variables.params",
    "environment": "variables.environment",
    "kind": "object.kind",
}
_GLOB: Final = re.compile(r"\[!?\]?[^\]]*\]|.", re.DOTALL)
_LETTERS: Final[Mapping[str, str]] = {
    "*": ".*",
    "?": ".",
    **{each: f"[{each}]" for each in ".+()|{}$"},
    "^": "\\^",
    "[": "\\[",
    "\\": "\\\\",
}
# A request for a Namespace has its name as `request.namespace`, and one for another object outside namespaces has none.
_NAMESPACE: Final = '(has(object.metadata.namespace) ? object.metadata.namespace : "")'
_NAME: Final = "object.metadata.name"


def admission_policies(
    policy: Policy,
    *,
    today: date,
    environment: EnvironmentView | None = None,
    params: ReadObject | None = None,
) -> tuple[tuple[ReadObject, ...], tuple[Finding, ...]]:
    """Return the manifests of `policy`, and a "not checked" finding for everything that an API server cannot judge.

    `environment` and `params` (which override those of the policy) are written into the manifests: render them again
    when these change.
    """
    writer = _Writer(policy, today, environment, {**policy.spec.params, **(params or {})})
    return tuple(writer.write()), tuple(writer.findings)


@dataclass(slots=True)
class _Writer:
    policy: Policy
    today: date
    environment: EnvironmentView | None
    params: ReadObject
    findings: list[Finding] = field(default_factory=list[Finding])

    def write(self) -> list[ReadObject]:
        match = self.policy.spec.match
        if (stage := stage_of(match)) != "manifest":
            what = "documents as written" if stage == "spec" else "hydrated services"
            self._not_checked("*", f"the policy judges {what}, which an API server never sees")
            return []
        if match.environments:
            if self.environment is None:
                self._not_checked("*", "the policy is for some environments, and that of the cluster is not known")
                return []
            if not any_glob(match.environments, str(self.environment.get("name", ""))):
                return []
        rules = self._resource_rules()
        waivers = [waiver for waiver in self.policy.spec.exceptions if self._carries(waiver)]
        trees: list[ReadObject] = []
        for severity, suffix, action in (("error", "", "Deny"), ("warning", "-warnings", "Warn")):
            chosen = [rule for rule in self.policy.spec.rules if rule.severity == severity and self._can(rule)]
            if rules and chosen:
                name = f"{self.policy.name}{suffix}"
                trees.append(self._policy_tree(name, rules, chosen, waivers))
                spec = {"policyName": name, "validationActions": [action]}
                trees.append(
                    {
                        "apiVersion": API,
                        "kind": "ValidatingAdmissionPolicyBinding",
                        "metadata": {"name": name},
                        "spec": spec,
                    }
                )
        return trees

    def _resource_rules(self) -> list[ReadObject]:
        """Return the resources of the kinds that the policy matches, limited to its groups."""
        match = self.policy.spec.match
        operations = ["CREATE", "UPDATE"]
        if not match.kinds:
            groups = list(match.groups) or ["*"]
            return [{"apiGroups": groups, "apiVersions": ["*"], "operations": operations, "resources": ["*"]}]
        found: dict[tuple[str, str], list[str]] = {}
        for kind in match.kinds:
            resources = [each for each in resources_of(kind) if not match.groups or each.group in match.groups]
            if not resources:
                of = f" of {', '.join(match.groups)}" if match.groups else ""
                self._not_checked("*", f"the policy matches {kind}{of}, whose resource is not known here")
            for each in resources:
                found.setdefault((each.group, each.version), []).append(each.plural)
        return [
            {"apiGroups": [group], "apiVersions": [version], "operations": operations, "resources": sorted(resources)}
            for (group, version), resources in sorted(found.items())
        ]

    def _carries(self, waiver: Waiver) -> bool:
        """Whether the exception applies at the API server too; a finding says why one does not."""
        if date.fromisoformat(waiver.until) < self.today:
            return False
        if waiver.files:
            self._not_checked(
                "exceptions", f"the exception of {waiver.owner} is for files, which an API server never sees"
            )
            return False
        if waiver.environments:
            if self.environment is None:
                says = f"the exception of {waiver.owner} is for some environments, and that of the cluster is not known"
                self._not_checked("exceptions", says)
                return False
            if not any_glob(waiver.environments, str(self.environment.get("name", ""))):
                return False
        says = (
            f"the exception of {waiver.owner} ends after {waiver.until}, and a policy at an API server has no clock: "
            "render it again then"
        )
        self._not_checked("exceptions", says)
        return True

    def _can(self, rule: Rule) -> bool:
        names = names_behind(self.policy, rule.check)
        if "siblings" in names:
            self._not_checked(rule.name, "the rule reads siblings, and an API server sees one object at a time")
            return False
        if "params" in names and _is_large(self.params):
            self._not_checked(rule.name, "the rule reads params with a number beyond 64 bits, which CEL cannot express")
            return False
        if "environment" in names and self.environment is None:
            self._not_checked(rule.name, "the rule reads environment, and that of the cluster is not known")
            return False
        return True

    def _policy_tree(
        self, name: str, resource_rules: list[ReadObject], rules: list[Rule], waivers: list[Waiver]
    ) -> ReadObject:
        match = self.policy.spec.match
        constraints: dict[str, ReadJson] = {"matchPolicy": "Equivalent", "resourceRules": resource_rules}
        if match.labels:
            constraints["objectSelector"] = {"matchLabels": dict(match.labels)}
        spec: dict[str, ReadJson] = {"failurePolicy": "Fail", "matchConstraints": constraints}
        if conditions := _conditions(match):
            spec["matchConditions"] = conditions
        expressions = [text for rule in rules for text in (rule.check, *self._message_expression(rule))]
        if variables := self._variables(expressions):
            spec["variables"] = variables
        spec["validations"] = [self._validation(rule, waivers) for rule in rules]
        return {"apiVersion": API, "kind": "ValidatingAdmissionPolicy", "metadata": {"name": name}, "spec": spec}

    def _variables(self, expressions: list[str]) -> list[dict[str, str]]:
        """Return the short names that are used, then the policy's variables that are used, in their order."""
        names = {name for each in expressions for name in names_behind(self.policy, each)}
        used = self._variables_behind(expressions)
        literals = {"params": self.params, "environment": self.environment}
        found = [
            {"name": each, "expression": f"has(object.{each}) ? object.{each} : dyn({{}})"}
            for each in ("metadata", "spec")
            if each in names
        ]
        found += [{"name": name, "expression": literal(value)} for name, value in literals.items() if name in names]
        found += [
            {"name": variable.name, "expression": _at_server(variable.expression)}
            for variable in self.policy.spec.variables
            if variable.name in used
        ]
        return found

    def _variables_behind(self, expressions: list[str]) -> set[str]:
        used = {name for each in expressions for name in read_names(each).fields_of("variables")}
        for variable in reversed(self.policy.spec.variables):
            if variable.name in used:
                used |= read_names(variable.expression).fields_of("variables")
        return used

    def _validation(self, rule: Rule, waivers: list[Waiver]) -> ReadObject:
        check = _at_server(rule.check)
        if result_type(rule.check, ALL_NAMES) == "DYN":
            # An API server refuses a rule that it does not know to be a comparison.
            check = f"dyn({_closed(check)}) == true"
        lifted = [_lifted(waiver) for waiver in waivers if not waiver.rules or rule.name in waiver.rules]
        if lifted:
            check = " || ".join([f"({each})" for each in lifted] + [f"({_closed(check)})"])
        label = f"{self.policy.name}/{rule.name}"
        # Also what an API server says where the message cannot be evaluated.
        plain = rule.message if rule.name in self.policy.plain else f"`{rule.check}` is violated"
        message = f"{label}: {' '.join(plain.split())}"
        validation: dict[str, ReadJson] = {"expression": check, "message": message, "reason": "Invalid"}
        for expression in self._message_expression(rule):
            # An API server does not use a message of several lines.
            says = f'string({_closed(_at_server(expression))}).replace("\\r", " ").replace("\\n", " ")'
            validation["messageExpression"] = f"{json.dumps(f'{label}: ')} + {says}"
        return validation

    def _message_expression(self, rule: Rule) -> tuple[str, ...]:
        """Return the rule's message where it is CEL that the API server can evaluate."""
        missing = {"siblings", "environment"} if self.environment is None else {"siblings"}
        if rule.name in self.policy.plain or names_behind(self.policy, rule.message) & missing:
            return ()
        return (rule.message,)

    def _not_checked(self, rule: str, says: str) -> None:
        self.findings.append(
            Finding(
                rule=f"{self.policy.name}/{rule}",
                subject=f"ValidatingAdmissionPolicy {self.policy.name}",
                verdict="not checked",
                says=says,
                where=self.policy.position,
                environment=None if self.environment is None else str(self.environment.get("name", "")),
            )
        )


def _at_server(expression: str) -> str:
    """Return an expression with the names that an API server has."""
    return renamed(expression, read_names(expression), _RENAMED)


def _conditions(match: PolicyMatch) -> list[dict[str, str]]:
    found: list[dict[str, str]] = []
    if match.names:
        found.append({"name": "names", "expression": f"has({_NAME}) && {_matched(_NAME, match.names)}"})
    if match.namespaces:
        found.append({"name": "namespaces", "expression": _matched(_NAMESPACE, match.namespaces)})
    return found


def _lifted(waiver: Waiver) -> str:
    """Return the CEL that is true for the objects of an exception."""
    parts: list[str] = []
    if waiver.kinds:
        parts.append(f"object.kind in {json.dumps(list(waiver.kinds))}")
    if waiver.names:
        parts.append(f"has({_NAME}) && {_matched(_NAME, waiver.names)}")
    if waiver.namespaces:
        parts.append(_matched(_NAMESPACE, waiver.namespaces))
    return " && ".join(parts) or "true"


def _matched(name: str, globs: tuple[str, ...]) -> str:
    pattern = "|".join(_pattern(glob) for glob in globs)
    return f"{name}.matches({json.dumps(f'^(?:{pattern})$')})"


def _pattern(glob: str) -> str:
    """Return a glob as a pattern of RE2.

    >>> _pattern("shop-*.v[!0-9]")
    'shop-.*[.]v[^0-9]'
    """
    pieces: list[str] = _GLOB.findall(glob)
    return "".join(
        f"[^{each[2:]}" if each.startswith("[!") else each if each.startswith("[") else _LETTERS.get(each, each)
        for each in pieces
    )


def _closed(expression: str) -> str:
    """Return an expression that can be continued, although it may end in a comment."""
    return f"{expression}\n" if "//" in expression else expression


def _is_large(value: ReadJson) -> bool:
    """Whether a tree has a number beyond 64 bits."""
    if isinstance(value, Mapping):
        return any(map(_is_large, value.values()))
    if isinstance(value, list | tuple):
        return any(map(_is_large, value))
    return isinstance(value, int) and not -(2**63) <= value < 2**63


def literal(value: ReadJson) -> str:
    """Return a plain value as CEL. Scalars in maps and lists are `dyn`: an API server wants literals of one type.

    >>> literal({"min": 2, "names": ["a"]})
    '{"min": dyn(2), "names": dyn([dyn("a")])}'
    """
    if isinstance(value, Mapping):
        pairs = (f"{json.dumps(str(key), ensure_ascii=False)}: {_dyn(each)}" for key, each in value.items())
        return "{" + ", ".join(pairs) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_dyn(each) for each in value) + "]"
    return json.dumps(value, ensure_ascii=False)


def _dyn(value: ReadJson) -> str:
    return f"dyn({literal(value)})"
