"""Rules over documents, as people write them in a Policy.

Read by specs (as a schema) and by policy, which judges by them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from bateau.kit.schema import described


@dataclass(frozen=True, kw_only=True)
class PolicyMatch:
    """Which objects a policy speaks of. All conditions must hold; one that is absent always does."""

    stage: Literal["spec", "release", "manifest"] | None = described(
        "What is judged: documents as they are written (`spec`), services as an environment has them (`release`), or "
        "Kubernetes objects (`manifest`). Absent: `release` for Model and App, `spec` for our other kinds, else "
        "`manifest`.",
        default=None,
    )
    kinds: tuple[str, ...] = described("Kinds.", default=(), examples=(("App", "Model"), ("Deployment",)))
    groups: tuple[str, ...] = described(
        "API groups of manifests; the core group is the empty string.", default=(), examples=(("apps",),)
    )
    names: tuple[str, ...] = described("Names, or globs of names.", default=(), examples=(("shop-*",),))
    namespaces: tuple[str, ...] = described("Namespaces, or globs of namespaces.", default=())
    labels: Mapping[str, str] = described("Labels that must all be there.", default_factory=dict)
    environments: tuple[str, ...] = described("Environments, or globs of environments.", default=())


@dataclass(frozen=True, kw_only=True)
class Rule:
    """One CEL rule. It sees `object`, `metadata`, `spec`, `kind`, `environment`, `params` and `variables`."""

    name: str = described(
        "Name of the rule: a DNS label.",
        pattern=r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?",
        pattern_says="lower-case letters, digits and '-', starting and ending with a letter or digit, at most 63",
        examples=("owner",),
    )
    check: str = described("CEL that is true where the rule is kept.", examples=("has(metadata.labels.team)",))
    message: str = described(
        "What is said where it is not: CEL that gives a string, or plain text.",
        examples=("'every service names its team'",),
    )
    severity: Literal["error", "warning"] = described("`error` blocks, `warning` is shown.", default="error")
    path: str | None = described(
        "Field that the rule is about, so that a finding points at it. Absent: the object.",
        default=None,
        examples=("spec.replicas",),
    )


@dataclass(frozen=True, kw_only=True)
class Variable:
    """A named CEL expression, evaluated when a rule asks for it. It sees the variables before it."""

    name: str = described(
        "Name, read as `variables.NAME`.", pattern=r"[A-Za-z_][A-Za-z0-9_]*", pattern_says="a CEL identifier"
    )
    expression: str = described("CEL that gives the value.", examples=("object.spec.template.spec",))


@dataclass(frozen=True, kw_only=True)
class Waiver:
    """An exception: objects that need not keep a rule, who answers for it, and until when."""

    rules: tuple[str, ...] = described("Rules that it lifts. Absent: all of the policy.", default=())
    kinds: tuple[str, ...] = described("Kinds it is for. Absent: all.", default=())
    names: tuple[str, ...] = described("Names, or globs of names, it is for. Absent: all.", default=())
    namespaces: tuple[str, ...] = described("Namespaces, or globs, it is for. Absent: all.", default=())
    environments: tuple[str, ...] = described("Environments, or globs, it is for. Absent: all.", default=())
    files: tuple[str, ...] = described("Files, or globs of files, it is for. Absent: all.", default=())
    owner: str = described(
        "Who answers for it.", pattern=r"\S.*", pattern_says="a person or a team", examples=("team-payments",)
    )
    reason: str = described("Why it is needed.", pattern=r"\S.*", pattern_says="a sentence")
    until: str = described(
        "Last day on which it holds. After it the rule binds again, and the exception itself is found.",
        pattern=r"\d{4}-\d{2}-\d{2}",
        pattern_says="a date such as 2027-03-31",
        examples=("2027-03-31",),
    )


@dataclass(frozen=True, kw_only=True)
class PolicySpec:
    """Rules that every object it matches must keep."""

    match: PolicyMatch = described("Which objects.", default_factory=PolicyMatch)
    params: Mapping[str, Any] = described(
        "Values that rules see as `params`; a caller may override them.", default_factory=dict
    )
    variables: tuple[Variable, ...] = described("Expressions that rules share.", default=())
    rules: tuple[Rule, ...] = described("The rules.", default=())
    exceptions: tuple[Waiver, ...] = described("Objects that need not keep a rule, for a time.", default=())
