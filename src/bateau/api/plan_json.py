"""The JSON form of a delivery plan. Its one home.

Called by `plan --json`, by the HTTP API and by what reads a plan in a pipeline.

Invariant: every change, step and removal is in it, folded or not; a field that is absent has no `before` or `after`.
Refused: JSON Patch (RFC 6902); it cannot say why, nor what an edit does to a running pod.

Shape (all keys camelCase; `object` is {group, kind, namespace, name, shown}):

    {"environment", "pending", "summary": {"servicesChanged", "servicesSame", "objectsSame", "objectsObserved"},
     "documents": [change], "changes": [change], "steps": [{"act", "object", "reason"}],
     "folds": [{"act", "effect", "objects", "edit", "reasons", "origins"}],
     "removals": [object], "needsConfirmation", "leftAlone": [object], "findings": [...], "problems": [...]}
    change: {"act", "object", "service", "effect", "reasons", "renamedFrom", "fields": [edit], "origins"}
    edit:   {"path", "shown", "before", "after", "secret", "effect", "origins": [{"how", "at", "value", "says"}]}
"""

from collections.abc import Sequence
from typing import Any

from bateau.api.encoding import exact, plain
from bateau.domain.change import ABSENT, Change, Delivery, FieldChange, Fold, ObjectKey, object_name
from bateau.domain.origin import Origin


def plan_json(delivery: Delivery) -> str:
    """Return the plan as one JSON document, ready to print."""
    return exact(plan_tree(delivery), indented=True)


def plan_tree(delivery: Delivery) -> dict[str, Any]:
    """Return the plan as plain values, in the shape that this module documents."""
    return {
        "environment": delivery.environment,
        "pending": delivery.pending,
        "summary": {
            "servicesChanged": list(delivery.services_changed),
            "servicesSame": delivery.services_same,
            "objectsSame": delivery.objects_same,
            "objectsObserved": delivery.objects_observed,
        },
        "documents": [_change(change) for change in delivery.documents],
        "changes": [_change(change) for change in delivery.changes],
        "steps": [{"act": s.act, "object": _object(s.key), "reason": s.reason} for s in delivery.steps],
        "folds": [_fold(fold) for fold in delivery.folds],
        "removals": [_object(key) for key in delivery.removals],
        "needsConfirmation": delivery.needs_confirmation,
        "leftAlone": [_object(key) for key in delivery.left_alone],
        "findings": plain(delivery.findings),
        "problems": plain(delivery.problems),
    }


def _object(key: ObjectKey) -> dict[str, str]:
    group, kind, namespace, name = key
    return {"group": group, "kind": kind, "namespace": namespace, "name": name, "shown": object_name(key)}


def _change(change: Change) -> dict[str, Any]:
    return {
        "act": change.act,
        "object": _object(change.key),
        "service": change.service,
        "effect": change.effect,
        "reasons": list(change.reasons),
        "renamedFrom": _object(change.renamed_from) if change.renamed_from else None,
        "fields": [_edit(edit) for edit in change.fields],
        "origins": _origins(change.origins),
    }


def _edit(edit: FieldChange) -> dict[str, Any]:
    values = {name: value for name, value in (("before", edit.before), ("after", edit.after)) if value is not ABSENT}
    return {
        "path": edit.path,
        "shown": edit.shown,
        **values,
        "secret": edit.secret,
        "effect": edit.effect,
        "origins": _origins(edit.origins),
    }


def _fold(fold: Fold) -> dict[str, Any]:
    return {
        "act": fold.act,
        "effect": fold.effect,
        "objects": [_object(key) for key in fold.objects],
        "edit": _edit(fold.edit) if fold.edit else None,
        "reasons": list(fold.reasons),
        "renamedFrom": _object(fold.renamed_from) if fold.renamed_from else None,
        "origins": _origins(fold.origins),
    }


def _origins(chain: Sequence[Origin]) -> list[dict[str, Any]]:
    return [plain(origin) for origin in chain]
