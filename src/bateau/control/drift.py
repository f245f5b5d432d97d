"""Tell drift from other changes: a field of a cluster that differs from the specs, and that another manager holds.

Called by wiring.clusters. Pure.

Invariant: a number of replicas that an autoscaler decides is not drift, and is never taken from it. Held by
tests/control/test_drift.py.
"""

import re
from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Final, Literal

from bateau.domain.change import Change, Delivery, Drift, FieldChange, ObjectKey
from bateau.domain.object_state import AUTOSCALERS
from bateau.plan import fold

_ITEM: Final = re.compile(r"\[\d+\]")
_ESCAPED_ITEM: Final = re.compile(r"\\\[\d+\\\]")


def with_drift(
    delivery: Delivery,
    holders: Mapping[ObjectKey, Mapping[str, str]],
    created: Collection[ObjectKey],
    policy: Literal["repair", "report"],
    *,
    added: Mapping[ObjectKey, Mapping[str, str]],
) -> Delivery:
    """Return the plan with the other manager of each changed field.

    `holders` has the managers besides Bateau, by object and by the path of a field; `created` are the objects that
    Bateau has created: only there is drift repaired. `added` has the fields that people have added.
    """
    changes = tuple(_held(each, holders.get(each.key, {})) for each in delivery.changes)
    found = [(each.key, edit.shown, edit.holder) for each in changes for edit in each.fields if edit.holder]
    if not found and not added:
        return delivery
    repaired = tuple(each for each in found if policy == "repair" and each[0] in created and each[2] not in AUTOSCALERS)
    left = tuple(each for each in found if each not in repaired)
    return replace(
        delivery,
        changes=changes,
        folds=fold((*delivery.documents, *changes)),
        drift=Drift(
            repaired=repaired,
            left=left,
            added=tuple((key, path, manager) for key, each in added.items() for path, manager in each.items()),
        ),
    )


def _held(change: Change, holders: Mapping[str, str]) -> Change:
    if not holders or not change.fields:
        return change
    return replace(change, fields=tuple(replace(each, holder=_holder(each, holders)) for each in change.fields))


def _holder(edit: FieldChange, holders: Mapping[str, str]) -> str | None:
    """Return who holds the field, or the whole that it is a part of."""
    path = edit.shown
    while path:
        if _ITEM.search(path):  # the only item of a list, which managers name by its key
            named = re.compile(_ESCAPED_ITEM.sub(r"\\[[^\\]]*\\]", re.escape(path)))
            if found := next((manager for at, manager in holders.items() if named.fullmatch(at)), None):
                return found
        elif path in holders:
            return holders[path]
        path = path[: max(path.rfind("."), path.rfind("["), 0)]
    return None
