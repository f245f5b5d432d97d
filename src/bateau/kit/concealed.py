"""Take out of texts and trees what was read from the environment: that is where secrets come from.

Called by hydrate and control for what they say, and by plan for what it shows.

Invariant: a value of fewer than `CHARACTERS_MIN` characters is left in; it is no secret, and taking it out would garble
everything that happens to hold it.
"""

from collections.abc import Collection, Mapping
from typing import Any, Final, cast

CHARACTERS_MIN: Final = 6
_CUT: Final = 57  # messages show so much of a long text (kit.schema.shown)


def without(text: str, read: Collection[str], put: str = "(read by env)") -> str:
    """Return a text without the values in `read`, nor the beginnings of them to which messages cut long texts.

    >>> without("is hunter2hunter2, not x", {"hunter2hunter2", "x"})
    'is (read by env), not x'
    """
    for value in sorted(read, key=len, reverse=True):
        if len(value) >= CHARACTERS_MIN:
            text = text.replace(value, put).replace(value[:_CUT], put)
    return text


def holds(value: Any, read: Collection[str]) -> bool:
    """Whether a text is or holds one of the values in `read`."""
    return isinstance(value, str) and any(len(each) >= CHARACTERS_MIN and each in value for each in read)


def tree_without(value: Any, read: Collection[str], put: str) -> Any:
    """Return a tree of plain values in which `put` stands for every text that holds a value in `read`."""
    if isinstance(value, Mapping):
        return {key: tree_without(each, read, put) for key, each in cast("Mapping[Any, Any]", value).items()}
    if isinstance(value, list | tuple):
        return [tree_without(each, read, put) for each in cast("list[Any]", value)]
    return put if holds(value, read) else value
