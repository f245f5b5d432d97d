"""The JSON form of a delivery plan, which only this module defines.

Called by cli.plan.

Invariant: every change, step and removal is in it, folded or not; a field that is absent has no `before` or `after`.
Held by tests/plan/test_removals_shown.py and tests/plan/test_delivery_shown.py.
Refused: JSON Patch (RFC 6902). It has no place for the reason of an edit, or for its effect on a running pod.

Shape (all keys camelCase; `object` is {group, kind, namespace, name, shown}; `new` is false for a finding or a problem
that the observed side has as well):

    {"environment", "pending", "blocked",
     "summary": {"servicesChanged", "servicesSame", "objectsSame", "objectsObserved", "errorsOld", "errorsFixed"},
     "removals": [object], "needsConfirmation",
     "gaps": [{"service", "side", "reason", "mayGo": [object], "mayExist": [object]}],
     "documents": [change], "changes": [change], "steps": [{"act", "object", "reason"}],
     "folds": [{"act", "effect", "destructive", "objects", "edit", "reasons", "renamedFrom", "origins"}],
     "leftAlone": [object], "findings": [{..., "new"}], "problems": [{..., "new"}]}
    against clusters: {"clusters": [cluster]}; cluster: {"cluster", "unreachable"}, or {"cluster", "newNamespaces",
     "held", "added": [{"object", "path", "manager"}], ... as above}
    change: {"act", "object", "service", "effect", "destructive", "reasons", "renamedFrom", "fields": [edit], "origins"}
    edit:   {"path", "shown", "before", "after", "secret", "effect", "origins": [{"how", "at", "value", "says"}],
             "holder"}, which is absent unless another manager of a cluster holds the field
"""

from collections.abc import Iterable, Sequence

from bateau.api.encoding import plain
from bateau.domain.change import ABSENT, Change, Delivery, FieldChange, Fold, Gap, ObjectKey, object_name
from bateau.domain.origin import Origin
from bateau.kit.exact_json import exact
from bateau.kit.json_value import Json, ReadObject, object_at


def plan_json(*deliveries: Delivery) -> str:
    """Return the plan as one JSON document, ready to print."""
    if len(deliveries) == 1 and deliveries[0].cluster is None:
        return exact(_plan(deliveries[0]), indented=True)
    return exact({"clusters": [_on_cluster(each) for each in deliveries]}, indented=True)


def _on_cluster(delivery: Delivery) -> ReadObject:
    if delivery.unreachable:
        return {"cluster": delivery.cluster, "unreachable": delivery.unreachable.says}
    return {
        "cluster": delivery.cluster,
        "newNamespaces": list(delivery.new_namespaces),
        "held": list(delivery.held),
        "added": [
            {"object": _object(key), "path": path, "manager": manager}
            for key, path, manager in (delivery.drift.added if delivery.drift else ())
        ],
        **_plan(delivery),
    }


def _plan(delivery: Delivery) -> ReadObject:
    return {
        "environment": delivery.environment,
        "pending": delivery.pending,
        "blocked": delivery.wrong or delivery.forbidden,
        "summary": {
            "servicesChanged": list(delivery.services_changed),
            "servicesSame": delivery.services_same,
            "objectsSame": delivery.objects_same,
            "objectsObserved": delivery.objects_observed,
            "errorsOld": delivery.baseline.errors,
            "errorsFixed": delivery.baseline.errors_fixed,
        },
        "removals": [_object(key) for key in delivery.removals],
        "needsConfirmation": delivery.needs_confirmation,
        "gaps": [_gap(gap) for gap in delivery.gaps],
        "documents": [_change(change) for change in delivery.documents],
        "changes": [_change(change) for change in delivery.changes],
        "steps": [{"act": s.act, "object": _object(s.key), "reason": s.reason} for s in delivery.steps],
        "folds": [_fold(fold) for fold in delivery.folds],
        "leftAlone": [_object(key) for key in delivery.left_alone],
        "findings": _marked(delivery.findings, delivery.baseline.findings),
        "problems": _marked(delivery.problems, delivery.baseline.problems),
    }


def _marked(new: Iterable[object], known: Iterable[object]) -> list[ReadObject]:
    return [
        {**object_at(plain(each)), "new": is_new} for some, is_new in ((new, True), (known, False)) for each in some
    ]


def _gap(gap: Gap) -> ReadObject:
    return {
        "service": gap.service,
        "side": gap.side,
        "reason": gap.reason,
        "mayGo": [_object(key) for key in gap.may_go],
        "mayExist": [_object(key) for key in gap.may_exist],
    }


def _object(key: ObjectKey) -> ReadObject:
    group, kind, namespace, name = key
    return {"group": group, "kind": kind, "namespace": namespace, "name": name, "shown": object_name(key)}


def _change(change: Change) -> ReadObject:
    return {
        "act": change.act,
        "object": _object(change.key),
        "service": change.service,
        "effect": change.effect,
        "destructive": change.destructive,
        "reasons": list(change.reasons),
        "renamedFrom": _object(change.renamed_from) if change.renamed_from else None,
        "fields": [_edit(edit) for edit in change.fields],
        "origins": _origins(change.origins),
    }


def _edit(edit: FieldChange) -> ReadObject:
    values = {name: value for name, value in (("before", edit.before), ("after", edit.after)) if value is not ABSENT}
    return {
        "path": edit.path,
        "shown": edit.shown,
        **values,
        "secret": edit.secret,
        "effect": edit.effect,
        "origins": _origins(edit.origins),
        **({"holder": edit.holder} if edit.holder else {}),
    }


def _fold(fold: Fold) -> ReadObject:
    return {
        "act": fold.act,
        "effect": fold.effect,
        "destructive": fold.destructive,
        "objects": [_object(key) for key in fold.objects],
        "edit": _edit(fold.edit) if fold.edit else None,
        "reasons": list(fold.reasons),
        "renamedFrom": _object(fold.renamed_from) if fold.renamed_from else None,
        "origins": _origins(fold.origins),
    }


def _origins(chain: Sequence[Origin]) -> list[Json]:
    return [plain(origin) for origin in chain]
