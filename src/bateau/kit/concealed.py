"""Remove values that were read from the environment from texts and trees, because they may be secrets.

Called by control.assembly, control.path, control.withholding, hydrate.services, plan.difference and
runtimes.local.instance.

Invariant: a value of fewer than `CHARACTERS_MIN` characters is kept. It is too short to be a secret, and removing it
would garble every text that happens to contain it. Held by tests/kit/test_concealed.py.
"""

from collections.abc import Collection, Mapping
from typing import Final

from bateau.kit.json_value import ReadJson

CHARACTERS_MIN: Final = 6
_CUT: Final = 57  # the length to which messages truncate a long text (kit.schema.shown)


def without(text: str, read: Collection[str], put: str = "(read by env)") -> str:
    """Return a text without the values in `read`, and without their truncated forms.

    >>> without("is hunter2hunter2, not x", {"hunter2hunter2", "x"})
    'is (read by env), not x'
    """
    for value in sorted(read, key=len, reverse=True):
        if len(value) >= CHARACTERS_MIN:
            text = text.replace(value, put).replace(value[:_CUT], put)
    return text


def holds(value: object, read: Collection[str]) -> bool:
    """Whether a text is or contains one of the values in `read`."""
    return isinstance(value, str) and any(len(each) >= CHARACTERS_MIN and each in value for each in read)


def tree_without(value: ReadJson, read: Collection[str], put: str) -> ReadJson:
    """Return a tree of plain values in which `put` replaces every text that contains a value in `read`."""
    if isinstance(value, Mapping):
        return {key: tree_without(each, read, put) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [tree_without(each, read, put) for each in value]
    return put if holds(value, read) else value
