"""Name the objects that a plan removes, and decide whether someone has to agree to it.

Called by control.comparison, control.installation and plan.delivery.

Invariant: a removal that deletes data or other objects always needs confirmation, however few there are. Held by
tests/plan/test_removals.py.
Refused: a plain yes; only the exact number shows that the list was read.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from bateau.domain.change import Change, ObjectKey, object_name
from bateau.domain.problem import Problem


@dataclass(frozen=True, kw_only=True)
class Limits:
    """The removals that need no confirmation, and the objects that may be removed at all.

    A destructive removal always needs the exact number of removals as `removals_confirmed`. So do at least
    `removals_min` objects that are more than `removals_share_max` of the observed ones (0 to 1). With `owner` (a label
    and its value) only objects that have it are removed.
    """

    removals_share_max: float = 0.2
    removals_min: int = 3
    removals_confirmed: int | None = None
    owner: tuple[str, str] | None = None


def removals_of(changes: Iterable[Change]) -> Mapping[ObjectKey, bool]:
    """Return every object that is removed, and whether that is destructive; the destructive ones come first.

    A destructive recreation is a removal. An object that a generator replaces under another hash is not.
    """
    gone: dict[ObjectKey, bool] = {}
    for change in changes:
        if change.act == "remove" or (change.act == "recreate" and change.destructive):
            gone[change.key] = change.destructive
        elif change.act == "rename" and change.renamed_from:
            gone[change.renamed_from] = change.destructive
    return dict(sorted(gone.items(), key=lambda each: (not each[1], each[0])))


def confirmation(removals: Mapping[ObjectKey, bool], observed: int, limits: Limits) -> int | None:
    """Return the number of removals if it must be confirmed, else None."""
    removed = len(removals)
    too_many = removed >= limits.removals_min and removed > limits.removals_share_max * observed
    return removed if too_many or any(removals.values()) else None


def unconfirmed(removals: Mapping[ObjectKey, bool], observed: int, given: int | None) -> Problem:
    """Return the error for removals that were not confirmed; `given` is another number that was."""
    removed = len(removals)
    destructive = [object_name(key) for key, is_destructive in removals.items() if is_destructive]
    named = ", ".join(destructive[:3]) + (f" and {len(destructive) - 3} more" if len(destructive) > 3 else "")  # noqa: PLR2004 - a line
    says = (
        f"{removed} of {observed} {'object' if observed == 1 else 'objects'} would be removed"
        f"{f', not {given}' if given is not None else ''}"
        f"{f', and with them the contents of {named}' if destructive else ''}"
    )
    return Problem(where=None, says=says, hint=f"check the list, then confirm with --yes-remove {removed}")
