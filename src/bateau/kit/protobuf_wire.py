"""Write the wire form of Protocol Buffers, field by field, and read single fields.

Called by observe. For messages of a few fields whose generated classes are not at hand.
Source: https://protobuf.dev/programming-guides/encoding

Invariant: the classes that protoc generates read these fields with the same values. Held by
tests/observe/test_otlp_wire.py.
"""

import struct
from collections.abc import Iterator
from typing import Final

_VARINT, _FIXED64, _LENGTH, _FIXED32 = 0, 1, 2, 5
_MASK64: Final = 2**64 - 1
_MORE: Final = 0x80


def varint(number: int) -> bytes:
    """Return a number without a tag; a negative one has ten bytes.

    >>> varint(300).hex(), len(varint(-1))
    ('ac02', 10)
    """
    rest, found = number & _MASK64, bytearray()
    while rest >= _MORE:
        found.append(rest & 0x7F | _MORE)
        rest >>= 7
    found.append(rest)
    return bytes(found)


def integer(field: int, value: int) -> bytes:
    """Return a field of type int64, bool or enum."""
    return varint(field << 3 | _VARINT) + varint(value)


def fixed64(field: int, value: int) -> bytes:
    """Return a field of type fixed64."""
    return varint(field << 3 | _FIXED64) + struct.pack("<Q", value)


def fixed32(field: int, value: int) -> bytes:
    """Return a field of type fixed32."""
    return varint(field << 3 | _FIXED32) + struct.pack("<I", value)


def double(field: int, value: float) -> bytes:
    """Return a field of type double."""
    return varint(field << 3 | _FIXED64) + struct.pack("<d", value)


def block(field: int, value: bytes) -> bytes:
    """Return a field of type bytes, or a message that is encoded already."""
    return varint(field << 3 | _LENGTH) + varint(len(value)) + value


def text(field: int, value: str) -> bytes:
    """Return a field of type string. What UTF-8 cannot write is replaced."""
    return block(field, value.encode(errors="replace"))


def fields(message: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Yield the number and the value of each field. Raises ValueError if the bytes are not a message.

    >>> list(fields(integer(1, 7) + text(2, "no")))
    [(1, 7), (2, b'no')]
    """
    at = 0
    while at < len(message):
        tag, at = _read_varint(message, at)
        kind = tag & 7
        if kind == _VARINT:
            value, at = _read_varint(message, at)
            yield tag >> 3, value
            continue
        if kind == _LENGTH:
            length, at = _read_varint(message, at)
        elif kind in {_FIXED64, _FIXED32}:
            length = 8 if kind == _FIXED64 else 4
        else:
            raise ValueError(f"a field of type {kind}")
        if at + length > len(message):
            raise ValueError("a field ends behind the message")
        yield tag >> 3, message[at : at + length]
        at += length


def _read_varint(message: bytes, at: int) -> tuple[int, int]:
    value = 0
    for count, byte in enumerate(message[at : at + 10]):
        value |= (byte & 0x7F) << 7 * count
        if byte < _MORE:
            return value, at + count + 1
    raise ValueError("a number that does not end")
