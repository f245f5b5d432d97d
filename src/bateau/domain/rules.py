"""Rules over documents, in the form of a Policy.

Read by specs (as a schema) and by policy, which judges by them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from bateau.kit.json_value import ReadJson
from bateau.kit.schema import described


@dataclass(frozen=True, kw_only=True)
class PolicyMatch:
    """The objects that a policy matches. All conditions must hold; an absent condition always holds."""

    stage: Literal["spec", "release", "manifest"] | None = described(
        "Stage that is judged: documents as written (`spec`), services hydrated for an environment (`release`), or "
        "Kubernetes objects (`manifest`). Absent: `release` for Model and App, `spec` for Bateau's other kinds, else "
        "`manifest`.",
        default=None,
    )
    kinds: tuple[str, ...] = described("Kinds.", default=(), examples=(("App", "Model"), ("Deployment",)))
    groups: tuple[str, ...] = described(
        "API groups of manifests; the core group is the empty string.", default=(), examples=(("apps",),)
    )
    names: tuple[str, ...] = described("Names, or globs of names.", default=(), examples=(("shop-*",),))
    namespaces: tuple[str, ...] = described("Namespaces, or globs of namespaces.", default=())
    labels: Mapping[str, str] = described("Labels that the object must have.", default_factory=dict)
    environments: tuple[str, ...] = described("Environments, or globs of environments.", default=())


@dataclass(frozen=True, kw_only=True)
class Rule:
    """One CEL rule. It can use `object`, `metadata`, `spec`, `kind`, `environment`, `params` and `variables`."""

    name: str = described(
        "Name of the rule: a DNS label.",
        pattern=r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?",
        pattern_says="lower-case letters, digits and '-', starting and ending with a letter or digit, at most 63",
        examples=("owner",),
    )
    check: str = described(
        "CEL expression that is true if the object complies.", examples=("has(metadata.labels.team)",)
    )
    message: str = described(
        "Message for an object that does not comply: a CEL expression that gives a string, or plain text.",
        examples=("'every service names its team'",),
    )
    severity: Literal["error", "warning"] = described("`error` blocks, `warning` is only shown.", default="error")
    path: str | None = described(
        "Field that the rule checks; a finding has its position. Absent: the object.",
        default=None,
        examples=("spec.replicas",),
    )


@dataclass(frozen=True, kw_only=True)
class Variable:
    """A named CEL expression, evaluated when a rule uses it. It can use the variables before it."""

    name: str = described(
        "Name, read as `variables.NAME`.", pattern=r"[A-Za-z_][A-Za-z0-9_]*", pattern_says="a CEL identifier"
    )
    expression: str = described("CEL expression of the value.", examples=("object.spec.template.spec",))


@dataclass(frozen=True, kw_only=True)
class Waiver:
    """An exception: objects that need not comply with a rule, its owner, and its last day."""

    rules: tuple[str, ...] = described("Rules that it lifts. Absent: all rules of the policy.", default=())
    kinds: tuple[str, ...] = described("Kinds that it applies to. Absent: all.", default=())
    names: tuple[str, ...] = described("Names, or globs of names, that it applies to. Absent: all.", default=())
    namespaces: tuple[str, ...] = described(
        "Namespaces, or globs of namespaces, that it applies to. Absent: all.", default=()
    )
    environments: tuple[str, ...] = described(
        "Environments, or globs of environments, that it applies to. Absent: all.", default=()
    )
    files: tuple[str, ...] = described("Files, or globs of files, that it applies to. Absent: all.", default=())
    owner: str = described(
        "Owner of the exception.", pattern=r"\S.*", pattern_says="a person or a team", examples=("team-payments",)
    )
    reason: str = described("Reason for the exception.", pattern=r"\S.*", pattern_says="a sentence")
    until: str = described(
        "Last day on which it holds. After that day the rule applies again, and a finding reports the exception.",
        pattern=r"\d{4}-\d{2}-\d{2}",
        pattern_says="a date such as 2027-03-31",
        examples=("2027-03-31",),
    )


@dataclass(frozen=True, kw_only=True)
class PolicySpec:
    """Rules that every matching object must comply with."""

    match: PolicyMatch = described("Objects that the policy applies to.", default_factory=PolicyMatch)
    params: Mapping[str, ReadJson] = described("Values, available to rules as `params`.", default_factory=dict)
    variables: tuple[Variable, ...] = described("Expressions that rules share.", default=())
    rules: tuple[Rule, ...] = described("The rules.", default=())
    exceptions: tuple[Waiver, ...] = described("Objects that need not comply with a rule, until a date.", default=())
