"""Plain values as bytes that are read back quickly and exactly: lone surrogates, NaN and long integers included.

Called by what keeps results in a cache of this user's own.

Invariant: bytes that hold no value give None; nothing raises.
Refused: pickle, which runs what it reads; JSON, which knows no NaN, no tuples and no bytes.
"""

import marshal
from typing import Any


def packed(value: Any) -> bytes:
    """Return numbers, strings, bytes, lists, tuples and dicts of these as bytes, for this version of Python."""
    return marshal.dumps(value)


def unpacked(data: bytes) -> Any:
    """Return the value, None where there is none. Only for what this user wrote.

    >>> unpacked(packed({"a": (1, b"x")})), unpacked(b"?")
    ({'a': (1, b'x')}, None)
    """
    try:
        return marshal.loads(data)  # noqa: S302 - from a file in a directory that only this user can enter
    except (ValueError, EOFError, TypeError):
        return None
