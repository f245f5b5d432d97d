"""Turn objects and policies into findings.

Called by control.object_checks, control.path and policy.admission. policy.admission gives the same rules to an API
server.

Invariant: a rule that cannot be evaluated is an error and never a pass; on an object that its schema rejects, and where
only an API server can evaluate it, there is a finding "not checked". Held by tests/policy/test_judge.py and
tests/wiring/test_rules_see_defaults.py.
Invariant: the order of the objects never changes the answer. The date is a value: nothing here asks a clock. Held by
tests/policy/test_judge.py::test_the_order_of_subjects_never_matters and
tests/test_house.py::test_the_import_contracts_hold.
Refused: stopping at the first rule that fails; a review wants all of them.
"""

import functools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date

from bateau.domain.finding import Finding, Verdict
from bateau.domain.rules import Rule, Waiver
from bateau.kit.cel import CelError, Scope
from bateau.kit.json_value import ReadJson, ReadObject
from bateau.policy.matching import any_glob, lifts, matches
from bateau.policy.subject import Subject
from bateau.policy.written import AT_SERVER, Policy, read_names

EnvironmentView = ReadObject


def judge(
    subjects: Iterable[Subject],
    policies: Iterable[Policy],
    *,
    today: date,
    environment: EnvironmentView | None = None,
    params: Mapping[str, ReadObject] | None = None,
) -> tuple[Finding, ...]:
    """Judge every subject by every policy that matches it.

    `environment` is the value that rules see by that name: at least `{"name": …}`; None if there is no environment.
    `params` overrides parameters, by the name of the policy. Findings of policies come first, then those of subjects in
    the order of policies, rules, subjects.
    """
    judging = Judge(policies, today=today, environment=environment, params=params)
    return (*judging.standing(), *judging.of(subjects))


class Judge:
    """Policies that are ready to judge subjects, some at a time; takes what `judge` takes."""

    def __init__(
        self,
        policies: Iterable[Policy],
        *,
        today: date,
        environment: EnvironmentView | None = None,
        params: Mapping[str, ReadObject] | None = None,
    ) -> None:
        self._judgings = [
            _Judging(policy, today, environment, {**policy.spec.params, **(params or {}).get(policy.name, {})})
            for policy in policies
        ]

    def standing(self) -> tuple[Finding, ...]:
        """Return the findings about the policies themselves, whatever they judge."""
        return tuple(finding for judging in self._judgings for finding in judging.expired())

    def of(self, subjects: Iterable[Subject]) -> tuple[Finding, ...]:
        """Judge subjects. The manifests of one service must come together: rules may look at its others."""
        ordered = sorted(subjects, key=_order)
        siblings: dict[str, list[Subject]] = {}
        for subject in ordered:
            if subject.stage == "manifest" and subject.owner:
                siblings.setdefault(subject.owner, []).append(subject)
        findings: list[Finding] = []
        for judging in self._judgings:
            policy = judging.policy
            matched = [subject for subject in ordered if matches(policy.spec.match, subject)]
            if not judging.applies_here(matched, findings):
                continue
            scopes = [_Names(policy, subject, judging, siblings.get(subject.owner or "", [])) for subject in matched]
            for rule in policy.spec.rules:
                findings += judging.rule(rule, scopes)
        # One policy reports an object that its schema rejects once, and not for every rule.
        return tuple(dict.fromkeys(findings))


def _order(subject: Subject) -> tuple[str, str, str]:
    """Return the sort key of a subject. For a manifest it has no place, as equal places do not tell objects apart."""
    place = f"{subject.group}/{subject.namespace}" if subject.stage == "manifest" else str(subject.where(None))
    return (subject.stage, subject.label, place)


@dataclass(frozen=True)
class _Judging:
    """One policy with everything that its rules see apart from their subjects."""

    policy: Policy
    today: date
    environment: EnvironmentView | None
    params: ReadObject

    @property
    def environment_name(self) -> str | None:
        return None if self.environment is None else str(self.environment.get("name", ""))

    def applies_here(self, matched: list[Subject], findings: list[Finding]) -> bool:
        """Whether the policy is for this environment; a finding reports where that is not known."""
        globs = self.policy.spec.match.environments
        if not globs or not matched:
            return bool(matched)
        if self.environment_name is None:
            says = f"the policy is for some environments ({', '.join(globs)}), and no environment is chosen"
            findings.append(self._finding("*", f"policy/{self.policy.name}", "not checked", says))
            return False
        return any_glob(globs, self.environment_name)

    def expired(self) -> list[Finding]:
        """Return a warning for each exception that has ended."""
        found: list[Finding] = []
        for index, waiver in enumerate(self.policy.spec.exceptions):
            if not self._holds(waiver):
                where = self.policy.positions.get(f"spec.exceptions[{index}].until", self.policy.position)
                says = (
                    f"the exception of {waiver.owner} ended on {waiver.until} ({waiver.reason}); the rule applies again"
                )
                found.append(
                    Finding(
                        rule=f"{self.policy.name}/exceptions",
                        subject=f"policy/{self.policy.name}",
                        verdict="warning",
                        says=says,
                        where=where,
                        environment=self.environment_name,
                    )
                )
        return found

    def rule(self, rule: Rule, scopes: "list[_Names]") -> list[Finding]:
        """Judge every matching object by one rule."""
        if barred := self._barred.get(rule.name):
            return [barred]
        return [found for scope in scopes if (found := self._verdict(rule, scope)) is not None]

    @functools.cached_property
    def _barred(self) -> Mapping[str, Finding]:
        """Return a finding for each rule that cannot be evaluated here at all, by the rule's name."""
        found: dict[str, Finding] = {}
        for rule in self.policy.spec.rules:
            names = names_behind(self.policy, rule.check)
            says = None
            if at_server := sorted(names & set(AT_SERVER)):
                says = f"the rule reads {', '.join(at_server)}, which only an API server knows"
            elif self.environment is None and "environment" in names:
                says = "the rule reads environment, and no environment is chosen"
            if says:
                found[rule.name] = self._finding(rule.name, f"policy/{self.policy.name}", "not checked", says)
        return found

    def _verdict(self, rule: Rule, scope: "_Names") -> Finding | None:
        try:
            kept = scope.value(rule.check)
        except CelError as error:
            if scope.subject.rejected:
                says = "rules cannot be evaluated on this object, which its schema rejects"
                return self._unevaluated(scope.subject, says)
            says = f"the rule cannot be evaluated: {error}"
            # As at an API server, where an exception is evaluated before the rule.
            return self._lifted(rule, scope, says) or self._about(rule, scope.subject, "error", says)
        if kept is True:
            return None
        if kept is not False:
            return self._about(rule, scope.subject, "error", f"the rule gives {kept!r} instead of true or false")
        says = self._message(rule, scope)
        return self._lifted(rule, scope, says) or self._about(rule, scope.subject, rule.severity, says)

    def _lifted(self, rule: Rule, scope: "_Names", says: str) -> Finding | None:
        """Return the verdict of an exception that is for this subject, None where there is none."""
        for waiver in self.policy.spec.exceptions:
            for_it = lifts(waiver, rule=rule.name, subject=scope.subject, environment=self.environment_name)
            if for_it and self._holds(waiver):
                until = f"excepted by {waiver.owner} until {waiver.until}: {waiver.reason}"
                return self._about(rule, scope.subject, "excepted", f"{says} ({until})")
        return None

    def _message(self, rule: Rule, scope: "_Names") -> str:
        if rule.name in self.policy.plain:
            return rule.message
        try:
            return str(scope.value(rule.message))
        except CelError as error:
            says = f"`{rule.check}` is violated"
            return says if scope.subject.rejected else f"{says} (its message cannot be evaluated: {error})"

    def _holds(self, waiver: Waiver) -> bool:
        return date.fromisoformat(waiver.until) >= self.today

    def _about(self, rule: Rule, subject: Subject, verdict: Verdict, says: str) -> Finding:
        return Finding(
            rule=f"{self.policy.name}/{rule.name}",
            subject=subject.label,
            verdict=verdict,
            says=says,
            where=subject.where(rule.path),
            environment=self.environment_name,
            path=rule.path,
            service=None if subject.owner is None else str(subject.owner),
        )

    def _unevaluated(self, subject: Subject, says: str) -> Finding:
        return Finding(
            rule=f"{self.policy.name}/*",
            subject=subject.label,
            verdict="not checked",
            says=says,
            where=subject.where(None),
            environment=self.environment_name,
            service=None if subject.owner is None else str(subject.owner),
        )

    def _finding(self, rule: str, subject: str, verdict: Verdict, says: str) -> Finding:
        return Finding(
            rule=f"{self.policy.name}/{rule}",
            subject=subject,
            verdict=verdict,
            says=says,
            where=self.policy.position,
            environment=self.environment_name,
        )


class _Names:
    """The names that the expressions of one policy see for one subject. Variables are evaluated once, when needed."""

    def __init__(self, policy: Policy, subject: Subject, judging: _Judging, siblings: list[Subject]) -> None:
        self.subject = subject
        self._expressions = {variable.name: variable.expression for variable in policy.spec.variables}
        self._values: dict[str, ReadJson] = {}
        self._failed: dict[str, str] = {}
        self._scope: Scope | None = None
        self._names: dict[str, ReadJson] = {
            "object": subject.tree,
            "metadata": subject.tree.get("metadata", {}),
            "spec": subject.tree.get("spec", {}),
            "kind": subject.kind,
            "environment": judging.environment,
            "params": judging.params,
            "siblings": [each.tree for each in siblings if each is not subject],
            **dict.fromkeys(AT_SERVER),
        }

    def value(self, expression: str) -> ReadJson:
        """Return the value of `expression`. Raises CelError."""
        wanted = read_names(expression).fields_of("variables")
        for name in sorted(wanted):
            self._evaluate(name)
        if self._scope is None:
            self._scope = Scope({**self._names, "variables": self._values})
        try:
            return self._scope.value(expression)
        except CelError as error:
            for name in sorted(wanted & self._failed.keys()):
                # As at an API server, a variable that fails has no effect until it is read.
                raise CelError(f"variables.{name}: {self._failed[name]}") from error
            raise

    def _evaluate(self, name: str) -> None:
        if name in self._values or name in self._failed:
            return
        try:
            value = self.value(self._expressions[name])
        except CelError as error:
            self._failed[name] = str(error)
            return
        self._values[name] = value
        self._scope = None


def names_behind(policy: Policy, expression: str) -> frozenset[str]:
    """Return the names that an expression reads, directly and through variables."""
    expressions = {variable.name: variable.expression for variable in policy.spec.variables}
    found = read_names(expression)
    names = set(found.names)
    wanted = set(found.fields_of("variables"))
    seen: set[str] = set()
    while wanted:
        name = wanted.pop()
        seen.add(name)
        found = read_names(expressions[name])
        names |= found.names
        wanted |= found.fields_of("variables") - seen
    return frozenset(names)
