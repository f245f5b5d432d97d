"""Turn a Policy document into rules that are known to compile, or into problems.

Called by control, policy.admission, policy.judging, ui.pages.policies_page and wiring.policies. It runs after specs has
checked the schema.

Invariant: every error that can be found without an object to judge is found here, all at once, with its place. Held by
tests/policy/test_judge.py.
Refused: compiling a rule at the first object. A policy that matches nothing would never be checked.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Final

from bateau.domain.kinds import KINDS
from bateau.domain.problem import Problem, Severity
from bateau.domain.rules import PolicySpec
from bateau.domain.spec import Spec
from bateau.kit.cel import CelError, result_type
from bateau.kit.cel_reading import Reading, reading
from bateau.kit.cel_text import has_string
from bateau.kit.position import Position, nearest
from bateau.kit.schema import build
from bateau.kit.suggest import did_you_mean
from bateau.policy.names import misnamed

# The names that every rule sees here; `siblings` are the other manifests of the same service.
NAMES: Final = ("environment", "kind", "metadata", "object", "params", "siblings", "spec", "variables")
# The names that only an API server knows: a rule that reads one is judged only there.
AT_SERVER: Final = ("authorizer", "namespaceObject", "oldObject", "request")
ALL_NAMES: Final = tuple(sorted((*NAMES, *AT_SERVER)))
# Names that become variables at an API server.
RESERVED: Final = ("environment", "metadata", "params", "spec")


def read_names(expression: str) -> Reading:
    """Return what an expression of a policy reads. Raises CelError where it does not compile."""
    return reading(expression, ALL_NAMES)


@dataclass(frozen=True, kw_only=True)
class Policy:
    """A policy whose rules compile. `plain` names the rules whose message is text and not CEL."""

    name: str
    spec: PolicySpec
    position: Position
    plain: frozenset[str] = frozenset()
    positions: dict[str, Position] = field(default_factory=dict[str, Position])


def understand(
    specs: Sequence[Spec], *, doubtful: Collection[str] = ()
) -> tuple[tuple[Policy, ...], tuple[Problem, ...]]:
    """Return the policies among `specs`, and the problems of all; a policy with an error is left out.

    `specs` are all documents that `specs.read` found sound: policies refer to the others. `doubtful` are words of
    documents that could not be read.
    """
    policies: list[Policy] = []
    problems: list[Problem] = []
    for spec in specs:
        if spec.kind == "Policy":
            reader = _Reader(spec)
            policy = reader.read()
            found = [*reader.problems, *misnamed(spec, policy.spec, specs, doubtful=doubtful)]
            problems += found
            if not any(problem.severity is Severity.ERROR for problem in found):
                policies.append(policy)
    return tuple(policies), tuple(problems)


class _Reader:
    """Reads one document; `problems` grows as it does."""

    def __init__(self, document: Spec) -> None:
        self._document = document
        self._policy: PolicySpec = build(document.fields, PolicySpec)
        self.problems: list[Problem] = []

    def read(self) -> Policy:
        self._check_match()
        self._check_variables()
        plain = self._check_rules()
        self._check_exceptions()
        return Policy(
            name=self._document.name,
            spec=self._policy,
            position=self._document.position,
            positions=dict(self._document.positions),
            plain=plain,
        )

    def _check_match(self) -> None:
        match = self._policy.match
        ours = [kind for kind in match.kinds if kind in KINDS]
        if match.stage is None and ours and len(ours) < len(match.kinds):
            says = f"spec.match.kinds mixes Bateau's kinds ({', '.join(ours)}) with kinds of Kubernetes"
            self._add("spec.match.kinds", says, "write two policies")
        if match.stage == "manifest" and ours:
            says = f"spec.match never matches: no manifest has the kind {', '.join(ours)}"
            self._add("spec.match.kinds", says, "leave `stage` out, or name kinds of Kubernetes")

    def _check_variables(self) -> None:
        known: list[str] = []
        for index, variable in enumerate(self._policy.variables):
            path = f"spec.variables[{index}]"
            if variable.name in RESERVED or variable.name in known:
                says = f"the variable `{variable.name}` already exists"
                self._add(f"{path}.name", says, f"choose a name other than {', '.join(RESERVED)} and the names before")
            self._compile(variable.expression, f"{path}.expression", known)
            known.append(variable.name)

    def _check_rules(self) -> frozenset[str]:
        known = [variable.name for variable in self._policy.variables]
        names: set[str] = set()
        plain: set[str] = set()
        for index, rule in enumerate(self._policy.rules):
            path = f"spec.rules[{index}]"
            if rule.name in names:
                self._add(f"{path}.name", f"two rules are named `{rule.name}`", "give each rule its own name")
            names.add(rule.name)
            given = self._compile(rule.check, f"{path}.check", known)
            if given not in {None, "BOOL", "DYN"}:
                says = f"{path}.check gives {str(given).lower()}; expected true or false"
                self._add(f"{path}.check", says, "make it a comparison: `== …`, `has(…)`")
            if not self._message_is_cel(rule.message, f"{path}.message", known):
                plain.add(rule.name)
        return frozenset(plain)

    def _message_is_cel(self, message: str, path: str, known: list[str]) -> bool:
        """Whether a message is CEL that gives a string. Text without a string literal in it was never meant as CEL."""
        try:
            given = result_type(message, ALL_NAMES)
        except CelError:
            if not has_string(message):
                return False
            self._compile(message, path, known)
            return False
        self._compile(message, path, known)
        return given in {"STRING", "DYN"}

    def _check_exceptions(self) -> None:
        rules = [rule.name for rule in self._policy.rules]
        for index, waiver in enumerate(self._policy.exceptions):
            path = f"spec.exceptions[{index}]"
            for word, text in (("owner", waiver.owner), ("reason", waiver.reason)):
                if not text.strip():
                    self._add(
                        f"{path}.{word}", f"the exception has no {word}", f"say {'who' if word == 'owner' else 'why'}"
                    )
            try:
                date.fromisoformat(waiver.until)
            except ValueError:
                self._add(f"{path}.until", f"{waiver.until!r} is not a date", "write a date such as 2027-03-31")
            for unknown in (each for each in waiver.rules if each not in rules):
                says = f"the exception is for the rule `{unknown}`, which this policy does not have"
                self._add(f"{path}.rules", says, did_you_mean(unknown, rules))

    def _compile(self, expression: str, path: str, known: list[str]) -> str | None:
        try:
            given = result_type(expression, ALL_NAMES)
        except CelError as error:
            self._add(path, f"{path} is not valid CEL: {error}", f"rules see {', '.join(NAMES)}")
            return None
        found = read_names(expression)
        for unknown in sorted(found.fields_of("variables") - set(known)):
            says = f"{path} reads variables.{unknown}, which is not declared before it"
            self._add(path, says, did_you_mean(unknown, known) or "declare it in spec.variables")
        for unknown in sorted(found.fields_of("params") - self._policy.params.keys()):
            if near := did_you_mean(unknown, self._policy.params):
                self._add(path, f"{path} reads params.{unknown}, which spec.params does not have", near)
        for shadowed in sorted(found.bound & set(ALL_NAMES)):
            says = f"{path} uses `{shadowed}` as the variable of a macro, but rules already have that name"
            self._add(path, says, "choose another name")
        return given

    def _add(self, path: str, says: str, hint: str | None) -> None:
        where = nearest(self._document.positions, path, self._document.position)
        self.problems.append(Problem(where=where, says=says, hint=hint))
