"""The changes of a plan, object by object and field by field, each with its reason and its origin.

Made by plan from desired and observed manifests; printed by the faces and applied by the runtime of a cluster.

Invariant: no value of a secret is in here; plan has replaced it with SECRET. Held by
tests/plan/test_delivery.py::test_values_of_secrets_are_in_no_part_of_a_plan.
Refused: text diffs. They show that a line moved, but not that a Deployment restarts.
"""

from dataclasses import dataclass, field
from enum import Enum
from typing import Final, Literal, TypeAlias

from bateau.domain.finding import Finding
from bateau.domain.offers import Offers
from bateau.domain.origin import Origin
from bateau.domain.problem import Problem, Severity
from bateau.kit.json_value import ReadJson

# "replace": a generator (kustomize's configMapGenerator) gave the object a new hash in its name.
Act = Literal["create", "change", "recreate", "rename", "replace", "remove"]

# "unknown": the kind belongs to a third-party operator, so the effect of an edit is not known.
Effect = Literal["in place", "restart", "recreate", "unknown"]

# Group, kind, namespace and name, as Manifest.key.
ObjectKey = tuple[str, str, str, str]


class Absent(Enum):
    """The value of a field that does not exist; null is a value."""

    ABSENT = "absent"


ABSENT: Final = Absent.ABSENT
FieldValue: TypeAlias = ReadJson | Absent

# Replaces the value of a secret.
SECRET = "(secret)"  # noqa: S105 - a placeholder


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldChange:
    """One edit. `path` is exact (indices), `shown` names the items of lists ("env[name=LOG_LEVEL].value").

    Indices are those of the desired tree, the last one of a removed item is that of the observed tree.
    `origins` is the chain of the new value, or of the old one if the field is removed. `effect` is None for Bateau's
    own documents and for replaced objects: the changes of dependent objects have it. `cause` is the step of `origins`
    that changed, the place to review. `holder` is the other manager of the field on a cluster: then it is drift.
    """

    path: str
    shown: str
    before: FieldValue
    after: FieldValue
    origins: tuple[Origin, ...] = ()
    cause: Origin | None = None
    effect: Effect | None = None
    secret: bool = False
    holder: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """The change of one object. `reasons` say why it restarts, is recreated or removed, and name the loss.

    `renamed_from` is the object that is removed once the new one exists. A `destructive` change deletes data or other
    objects together with this one: a Namespace, a PersistentVolumeClaim, a CustomResourceDefinition.
    """

    act: Act
    key: ObjectKey
    service: str | None = None
    fields: tuple[FieldChange, ...] = ()
    effect: Effect | None = None
    reasons: tuple[str, ...] = ()
    renamed_from: ObjectKey | None = None
    origins: tuple[Origin, ...] = ()
    destructive: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeStep:
    """One action on one object. The order of the steps is the order in which they may be done."""

    act: Literal["apply", "recreate", "remove"]
    key: ObjectKey
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Fold:
    """Equal edits or acts, and all the objects that have them.

    `edit` is None for an act on whole objects. `origins` has the cause of each object's edit, once each.
    """

    act: Act
    effect: Effect | None
    objects: tuple[ObjectKey, ...]
    edit: FieldChange | None = None
    origins: tuple[Origin, ...] = ()
    reasons: tuple[str, ...] = ()
    renamed_from: ObjectKey | None = None
    destructive: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    """A service that was not compared, because `side` ("commit 783ef3920a76") of it could not be rendered.

    `may_go` are observed objects that the service may no longer have; `may_exist` are desired objects that may be
    observed already. `service` is None for objects whose service is not known.
    """

    service: str | None
    side: str
    reason: str
    may_go: tuple[ObjectKey, ...] = ()
    may_exist: tuple[ObjectKey, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Baseline:
    """The findings and problems that `side` has as well. They do not block the change.

    `errors_fixed` is the number of errors that only `side` has.
    """

    side: str = ""
    findings: tuple[Finding, ...] = ()
    problems: tuple[Problem, ...] = ()
    errors_fixed: int = 0

    @property
    def errors(self) -> int:
        """The number of errors that both sides have."""
        found = sum(finding.verdict == "error" for finding in self.findings)
        return found + sum(problem.severity is Severity.ERROR for problem in self.problems)


@dataclass(frozen=True, slots=True, kw_only=True)
class Drift:
    """The fields of a cluster that differ from the specs and that another manager holds.

    `repaired` are those that an apply takes back, `left` those that it does not. `added` are not in the specs, and
    stay. Each has the object, its path and the manager.
    """

    repaired: tuple[tuple[ObjectKey, str, str], ...] = ()
    left: tuple[tuple[ObjectKey, str, str], ...] = ()
    added: tuple[tuple[ObjectKey, str, str], ...] = ()


@dataclass(frozen=True, kw_only=True)
class Delivery:
    """The whole effect of a desired state on an observed one, before anything moves.

    `documents` are changes of Bateau's own documents (services), `changes` those of objects in the order of their
    steps. `folds` are both, most dangerous first. `removals` names every object that is removed, also by a rename or
    a destructive recreation, the destructive ones first; an object that a generator replaces is not among them.
    `needs_confirmation` is their number if that must be given to proceed, else None; `removals_confirmed` is the
    number that was given. `left_alone` is observed, not desired, and not managed by Bateau. `gaps` could not be
    compared. `findings` and `problems` are those that the change adds; `baseline` has those of both sides.

    `cluster` is the name of the cluster that has the observed state. If it cannot be reached, `unreachable` says why,
    and nothing was compared. `drift` are the differing fields that other managers hold. `held` names the services that
    a rollback holds, in sentences. `new_namespaces` do not exist and are created for the objects in them. `offers` are
    the accelerators of the cluster that the objects were rendered for, None if they need none.
    """

    environment: str | None = None
    cluster: str | None = None
    unreachable: Problem | None = None
    drift: Drift | None = None
    held: tuple[str, ...] = ()
    new_namespaces: tuple[str, ...] = ()
    offers: Offers | None = None
    documents: tuple[Change, ...] = ()
    changes: tuple[Change, ...] = ()
    steps: tuple[ChangeStep, ...] = ()
    folds: tuple[Fold, ...] = ()
    services_changed: tuple[str, ...] = ()
    services_same: int = 0
    objects_same: int = 0
    objects_observed: int = 0
    removals: tuple[ObjectKey, ...] = ()
    needs_confirmation: int | None = None
    removals_confirmed: int | None = None
    left_alone: tuple[ObjectKey, ...] = ()
    gaps: tuple[Gap, ...] = ()
    findings: tuple[Finding, ...] = ()
    problems: tuple[Problem, ...] = ()
    baseline: Baseline = field(default_factory=Baseline)

    @property
    def pending(self) -> bool:
        """Whether anything would change."""
        return bool(self.changes or self.documents)

    @property
    def unconfirmed(self) -> bool:
        """Whether removals need a confirmation that was not given."""
        return self.needs_confirmation not in {None, self.removals_confirmed}

    @property
    def wrong(self) -> bool:
        """Whether the change adds an error, or cannot be planned safely: no policy is needed to block it."""
        if any(problem.severity is Severity.ERROR for problem in self.problems):
            return True
        return any(finding.verdict == "error" and not finding.of_policy for finding in self.findings)

    @property
    def forbidden(self) -> bool:
        """Whether the change adds a violation of a policy."""
        return any(finding.verdict == "error" and finding.of_policy for finding in self.findings)


def object_name(key: ObjectKey) -> str:
    """Return the display name of an object: kind and name for Bateau's documents, else kind, namespace and name.

    >>> object_name(("apps", "Deployment", "prod", "shop"))
    'Deployment prod/shop'
    >>> object_name(("bateau.dev", "Model", "", "chat"))
    'model/chat'
    """
    group, kind, namespace, name = key
    if group == "bateau.dev":
        return f"{kind.lower()}/{name}"
    return f"{kind} {namespace}/{name}" if namespace else f"{kind} {name}"
