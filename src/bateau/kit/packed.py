"""Serialise plain values to bytes, fast and exactly: lone surrogates, NaN and long integers included.

Called by control.packing and specs.keeping.

Invariant: invalid bytes give None; nothing raises. Held by tests/kit/test_packed.py.
Refused: pickle, which executes its input; JSON, which has no NaN, no tuples and no bytes.
"""

import marshal
from typing import Any


def packed(value: Any) -> bytes:
    """Return numbers, strings, bytes, lists, tuples and dicts of these as bytes, for this version of Python."""
    return marshal.dumps(value)


def unpacked(data: bytes) -> Any:
    """Return the value, or None if there is none. Only for bytes that this user wrote.

    >>> unpacked(packed({"a": (1, b"x")})), unpacked(b"?")
    ({'a': (1, b'x')}, None)
    """
    try:
        return marshal.loads(data)  # noqa: S302 - from a file in a directory that only this user can enter
    except (ValueError, EOFError, TypeError):
        return None
