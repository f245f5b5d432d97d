"""Apply the edits of a plan, to prove that they lead from the observed to the desired objects."""

from collections.abc import Mapping, Sequence
from typing import Any, cast

from bateau.domain.change import ABSENT, FieldChange
from bateau.kit.json_value import ReadObject
from bateau.kit.position import steps


def apply(changes: Sequence[FieldChange], observed: ReadObject) -> dict[str, Any]:
    """Return the observed tree with the edits made. Secrets stay what they are shown as: that is enough for a proof."""
    tree = cast("dict[str, Any]", _copy(observed))
    taken = [(steps(change.path), change) for change in changes]
    # From the outside in: an index counts in a list that already has its new items and lost its old ones.
    taken.sort(key=lambda pair: (len(pair[0]), *_turn(*pair)))
    for path, change in taken:
        holder: Any = tree
        for step in path[:-1]:
            holder = holder[step]
        last = path[-1]
        if change.after is ABSENT:
            del holder[last]
        elif isinstance(last, int) and change.before is ABSENT:
            holder.insert(last, _copy(change.after))
        else:
            holder[last] = _copy(change.after)
    return tree


def _turn(path: tuple[str | int, ...], change: FieldChange) -> tuple[int, int]:
    last = path[-1] if isinstance(path[-1], int) else 0
    if change.after is ABSENT:
        return (0, -last)
    return (1 if change.before is ABSENT else 2, last)


def _copy(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _copy(each) for key, each in cast("ReadObject", value).items()}
    if isinstance(value, list | tuple):
        return [_copy(each) for each in cast("Sequence[Any]", value)]
    return value
