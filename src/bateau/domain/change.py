"""What would change, object by object and field by field, each with its reason and its origin.

Made by plan from desired and observed manifests; printed by the faces, carried out by the engine of a cluster.

Invariant: no value of a secret is in here; plan has put SECRET in its place.
Refused: text diffs. They show that a line moved and not that a Deployment restarts.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, Literal

from bateau.domain.finding import Finding
from bateau.domain.origin import Origin
from bateau.domain.problem import Problem

Act = Literal["create", "change", "recreate", "rename", "remove"]

# "unknown": nothing is known of what the owner of the kind does with an edit, and that is said.
Effect = Literal["in place", "restart", "recreate", "unknown"]

# Group, kind, namespace and name, as Manifest.key.
ObjectKey = tuple[str, str, str, str]

# A manifest or a document as plain values.
Tree = Mapping[str, Any]


class Absent(Enum):
    """The value of a field that is not there; null is a value."""

    ABSENT = "absent"


ABSENT = Absent.ABSENT

# Stands where the value of a secret would stand.
SECRET = "(secret)"  # noqa: S105 - it is what is shown instead of one


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldChange:
    """One edit. `path` is exact (indices), `shown` names the items of lists ("env[name=LOG_LEVEL].value").

    Indices are those of the desired tree, the last one of a removed item is that of the observed tree.
    `origins` is the chain of the new value; of the old one where the field goes. `effect` is None for documents of
    ours: what an edit does is said by the objects that are made from it.
    """

    path: str
    shown: str
    before: Any
    after: Any
    origins: tuple[Origin, ...] = ()
    effect: Effect | None = None
    secret: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What happens to one object. `reasons` say why it restarts, is made anew, or goes, and what is lost."""

    act: Act
    key: ObjectKey
    service: str | None = None
    fields: tuple[FieldChange, ...] = ()
    effect: Effect | None = None
    reasons: tuple[str, ...] = ()
    renamed_from: ObjectKey | None = None
    origins: tuple[Origin, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeStep:
    """One thing to do to one object, in the order in which it may be done."""

    act: Literal["apply", "recreate", "remove"]
    key: ObjectKey
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Fold:
    """Edits or acts that are equal, and all the objects that they happen to.

    `edit` is None for what happens to whole objects. `origins` has the last step of each object's chain, once each.
    """

    act: Act
    effect: Effect | None
    objects: tuple[ObjectKey, ...]
    edit: FieldChange | None = None
    origins: tuple[Origin, ...] = ()
    reasons: tuple[str, ...] = ()
    renamed_from: ObjectKey | None = None


@dataclass(frozen=True, kw_only=True)
class Delivery:
    """The whole effect of a desired state on an observed one, before anything moves.

    `documents` are changes of our own documents (services), `changes` those of objects in the order of their steps.
    `folds` are both, most dangerous first. `removals` names every object that goes, also by a rename;
    `needs_confirmation` is their number when it must be given to go on, else None. `left_alone` is observed, not
    desired, and not ours. Where it is not `planned`, what is written is too wrong to be compared, and only `findings`
    and `problems` say anything.
    """

    environment: str | None = None
    planned: bool = True
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
    left_alone: tuple[ObjectKey, ...] = ()
    findings: tuple[Finding, ...] = ()
    problems: tuple[Problem, ...] = ()

    @property
    def pending(self) -> bool:
        """Whether anything would change."""
        return bool(self.changes or self.documents)


def object_name(key: ObjectKey) -> str:
    """Return how people call an object: our documents as everywhere, others by kind, namespace and name.

    >>> object_name(("apps", "Deployment", "prod", "shop"))
    'Deployment prod/shop'
    >>> object_name(("bateau.dev", "Model", "", "chat"))
    'model/chat'
    """
    group, kind, namespace, name = key
    if group == "bateau.dev":
        return f"{kind.lower()}/{name}"
    return f"{kind} {namespace}/{name}" if namespace else f"{kind} {name}"
