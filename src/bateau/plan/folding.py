"""Fold equal edits over many objects into one, most dangerous first.

Called by control.drift and plan.delivery. A thousand services that get the same new label are one line to read, not a
thousand.

Invariant: every object and every edit of the changes is in exactly one fold; removals are never folded together. Held
by tests/plan/test_delivery_properties.py::test_folding_loses_no_object_and_no_edit and
tests/plan/test_delivery_shown.py.
Refused: folding edits that are only similar; before, after, effect and the rule that made the value must be equal.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Final

from bateau.domain.change import Absent, Change, FieldValue, Fold, ObjectKey
from bateau.plan.difference import canonical

_DANGER: Final = {"remove": 1, "recreate": 2, "rename": 3, "replace": 5, "change": 5, "create": 8}
_ALONE: Final = ("remove", "recreate", "rename", "replace")
_BY_EFFECT: Final = {"recreate": 2, "restart": 4, "unknown": 5, None: 6, "in place": 7}


def fold(changes: Iterable[Change]) -> tuple[Fold, ...]:
    """Return the folds of all changes. An object that is removed, renamed or recreated is not folded with others."""
    groups: dict[tuple[object, ...], list[Fold]] = {}
    for change in changes:
        alone = change.act in _ALONE
        if alone or not change.fields:
            where = change.key if alone else change.key[:3]
            whole = Fold(
                act=change.act,
                effect=change.effect,
                objects=(change.key,),
                reasons=change.reasons,
                renamed_from=change.renamed_from,
                origins=change.origins[-1:],
                destructive=change.destructive,
            )
            groups.setdefault((change.act, where), []).append(whole)
        for edit in change.fields:
            rule = (
                ((edit.origins[-1].how, edit.origins[-1].says) if edit.origins else None) if not alone else change.key
            )
            key = (
                change.act,
                edit.effect,
                edit.shown,
                _value(edit.before),
                _value(edit.after),
                edit.secret,
                edit.holder,
                rule,
            )
            groups.setdefault(key, []).append(
                Fold(
                    act=change.act,
                    effect=edit.effect,
                    objects=(change.key,),
                    edit=edit,
                    origins=(edit.cause,) if edit.cause else (),
                    destructive=change.destructive,
                )
            )
    return tuple(sorted(map(_merged, groups.values()), key=_order))


def _value(value: FieldValue | None) -> tuple[str, bytes]:
    return ("absent", b"") if isinstance(value, Absent) else ("value", canonical(value))


def _merged(parts: Sequence[Fold]) -> Fold:
    first = parts[0]
    if len(parts) == 1:
        return first
    origins = {(o.how, str(o.at), o.says): o for part in parts for o in part.origins}
    reasons = {reason: None for part in parts for reason in part.reasons}
    return replace(
        first,
        objects=tuple(sorted(key for part in parts for key in part.objects)),
        origins=tuple(origins[key] for key in sorted(origins, key=str)),
        reasons=tuple(reasons),
    )


def _order(fold: Fold) -> tuple[int, tuple[str, ...], bool, int, str, tuple[ObjectKey, ...]]:
    danger = _BY_EFFECT[fold.effect] if fold.act == "change" else _DANGER[fold.act]
    if fold.destructive:
        danger = 0
    # An object that is recreated comes before its edits, and they before the next object.
    whole = fold.objects[0] if fold.act != "change" else ()
    return (
        danger,
        whole,
        fold.edit is not None,
        -len(fold.objects),
        fold.edit.shown if fold.edit else "",
        fold.objects,
    )
