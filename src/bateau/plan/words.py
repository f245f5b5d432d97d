"""The phrases that the text, the pull-request comment and the commit status of a plan share: one line per fold.

Called by api, cli.plan_problems, cli.plan_text and ui.plan_view.

Invariant: a secret is reported as changed and never shown; an object that is removed is always named. Held by
tests/plan/test_delivery_shown.py::test_no_secret_is_in_any_form and tests/plan/test_removals_shown.py.
Refused: whole values. A line must be readable at a glance; `--json` has the rest.
"""

from collections.abc import Iterator, Sequence
from typing import Final

from bateau.domain.change import ABSENT, Delivery, Drift, FieldChange, Fold, Gap, ObjectKey, object_name
from bateau.domain.origin import Origin
from bateau.domain.port_word import with_port_names
from bateau.kit.exact_json import exact

SIGNS: Final = {"create": "+", "change": "~", "replace": "~", "recreate": "!", "rename": ">", "remove": "-"}
_OBJECTS_SHOWN: Final = 3
_VALUE_CHARACTERS: Final = 60


def headline(delivery: Delivery) -> str:
    """Return the first line: the cluster and the environment, the numbers of services that change and that do not."""
    if delivery.unreachable:
        return f"{delivery.cluster}: not compared: {delivery.unreachable.says}"
    where = "".join(f"{name}: " for name in (delivery.cluster, delivery.environment) if name)
    what, _, same = _counts(delivery)
    apart = f", {len(delivery.gaps):,} not compared" if delivery.gaps else ""
    if delivery.pending:
        return f"{where}{change_words(delivery)}{apart}"
    if delivery.gaps and not same:
        return f"{where}not compared"
    return f"{where}nothing changes, {counted(same, what)} {'is' if same == 1 else 'are'} up to date{apart}"


def change_words(delivery: Delivery) -> str:
    """Return the numbers of a pending plan: "3 services change, 41 do not"."""
    what, changed, same = _counts(delivery)
    act, rest = ("changes" if changed == 1 else "change"), ("does" if same == 1 else "do")
    return f"{counted(changed, what)} {act}, {same:,} {rest} not"


def removal_words(delivery: Delivery) -> str:
    """Return the number of removed objects, and those of them that delete data or other objects."""
    destructive = {change.renamed_from or change.key for change in delivery.changes if change.destructive}
    named = [object_name(key) for key in delivery.removals if key in destructive]
    more = f" and {len(named) - _OBJECTS_SHOWN:,} more" if len(named) > _OBJECTS_SHOWN else ""
    contents = f", and with them the contents of {', '.join(named[:_OBJECTS_SHOWN])}{more}" if named else ""
    return f"removes {len(delivery.removals):,} of {counted(delivery.objects_observed, 'object')}{contents}"


def gap_words(gap: Gap) -> str:
    """Return the service that was not compared, and the reason."""
    says = f"{gap.service or 'not compared'}: {gap.side} could not be rendered: {gap.reason}"
    may_exist = f" ({counted(len(gap.may_exist), 'desired object')} not compared)" if gap.may_exist else ""
    return f"{says}{may_exist}"


def namespace_words(delivery: Delivery) -> Iterator[str]:
    """Yield which namespaces are created for the objects in them."""
    if new := delivery.new_namespaces:
        yield f"also created: {', '.join(f'Namespace {name}' for name in new)}"


def drift_words(drift: Drift | None) -> Iterator[str]:
    """Yield how many fields others have changed, and what an apply does with them."""
    if drift is None:
        return
    if drift.repaired:
        yield f"drift: {_held(drift.repaired)}; apply takes {'it' if len(drift.repaired) == 1 else 'them'} back"
    if drift.left:
        it = "it" if len(drift.left) == 1 else "them"
        yield f"drift: {_held(drift.left)}; apply does not take {it} over without --force-conflicts"
    if drift.added:
        yield f"drift: {_held(drift.added, 'added')}; apply leaves {'it' if len(drift.added) == 1 else 'them'}"


def _held(fields: Sequence[tuple[ObjectKey, str, str]], done: str = "changed") -> str:
    managers = ", ".join(sorted({manager for _, _, manager in fields}))
    return f"{counted(len(fields), 'field')} {done} by {managers}"


def baseline_words(delivery: Delivery) -> str:
    """Return the number of errors that do not block the change, because both sides have them."""
    known = delivery.baseline
    those = f"{counted(known.errors, 'error')} not caused by this change"
    return f"{those}: {known.side} has {'it' if known.errors == 1 else 'them'} as well"


def _counts(delivery: Delivery) -> tuple[str, int, int]:
    """Return the noun (services, or objects if no service is known), and how many change and do not change."""
    changed, same = len(delivery.services_changed), delivery.services_same
    if not changed and (delivery.pending or not same):
        return "object", len(delivery.changes), delivery.objects_same
    return "service", changed, same


def counted(number: int, word: str) -> str:
    """Return a number with its noun.

    >>> counted(1, "service"), counted(1200, "object")
    ('1 service', '1,200 objects')
    """
    return f"{number:,} {word}{'' if number == 1 else 's'}"


def names(fold: Fold, *, shown: int = _OBJECTS_SHOWN) -> str:
    """Return the objects of a fold; of many, the first and the number of others."""
    called = [object_name(key) for key in fold.objects]
    if len(called) <= shown:
        return ", ".join(called)
    return f"{', '.join(called[:shown])} and {len(called) - shown:,} more"


def edit_words(edit: FieldChange) -> str:
    """Return the edit of a field: "scale.max 4 -> 6". A leading `spec.` is omitted."""
    path = edit.shown.removeprefix("spec.")
    if edit.secret:
        act = "set" if edit.before is ABSENT else "removed" if edit.after is ABSENT else "changed"
        return f"{path} (secret {act})"
    if edit.before is ABSENT:
        return f"{path} + {value_words(edit.after)}"
    if edit.after is ABSENT:
        return f"{path} - {value_words(edit.before)}"
    before, after = value_words(edit.before), value_words(edit.after)
    if before == after:
        # They look equal in their short form: show the part that differs.
        before, after = exact(edit.before), exact(edit.after)
        if min(len(before), len(after)) > _VALUE_CHARACTERS:
            before, after = _around(before, after)
    return f"{path} {before} -> {after}"


def value_words(value: object) -> str:
    """Return a value on one line, cut if it is long; strings that look like another type keep their quotes."""
    value = with_port_names(value)
    if isinstance(value, str) and value and value.isprintable() and not _looks_typed(value):
        text = value
    else:
        text = exact(value)
    return text if len(text) <= _VALUE_CHARACTERS else f"{text[: _VALUE_CHARACTERS - 1]}…"


def origin_words(origins: tuple[Origin, ...], *, shown: int = _OBJECTS_SHOWN) -> str:
    """Return the origin of values: their positions, and the expression or rule if all share it."""
    places = list(dict.fromkeys(f"{o.at.file}:{o.at.line}" for o in origins if o.at))
    more = f" and {len(places) - shown:,} more" if len(places) > shown else ""
    says = {o.says or ("default" if o.how == "default" else "") for o in origins}
    said = says.pop() if len(says) == 1 else ""
    return "  ".join(part for part in (", ".join(places[:shown]) + more, value_words(said) if said else "") if part)


def fold_words(fold: Fold) -> tuple[str, str, str]:
    """Return the three columns of a fold: the objects, the act or the edit, and its origin."""
    listed = _OBJECTS_SHOWN if fold.act in ("create", "change") else len(fold.objects)
    if fold.edit:
        effect = f"  ({fold.effect})" if fold.effect in ("restart", "unknown") else ""
        effect += f"  (changed by {fold.edit.holder})" if fold.edit.holder else ""
        return names(fold, shown=listed), f"{edit_words(fold.edit)}{effect}", origin_words(fold.origins)
    reasons = "; ".join(fold.reasons)
    if fold.renamed_from:
        act = "replaces" if fold.act == "replace" else "renamed from"
        said = f"{act} {object_name(fold.renamed_from)}{f': {reasons}' if reasons else ''}"
    else:
        said = f"{fold.act}: {reasons}" if reasons else fold.act
    return names(fold, shown=listed), said, origin_words(fold.origins)


def _looks_typed(value: str) -> bool:
    """Whether YAML would read the text as a number, a boolean or null: then it is shown in quotes."""
    try:
        float(value.replace("_", ""))
    except ValueError:
        return (
            value.lower() in {"true", "false", "yes", "no", "on", "off", "y", "n", "null", "~"}
            or value != value.strip()
        )
    # A number with one dot and no exponent is as often a version as not; quotes would only be noise in `1.4`.
    return True


def _around(before: str, after: str) -> tuple[str, str]:
    """Return the part of two long texts around the first difference."""
    same = next((i for i, (a, b) in enumerate(zip(before, after, strict=False)) if a != b), 0)
    start = max(0, same - 10)
    return tuple(f"…{text[start : start + _VALUE_CHARACTERS - 2]}…" for text in (before, after))  # pyright: ignore[reportReturnType] - always two texts
