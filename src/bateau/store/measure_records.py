"""Records in the files of measures: how they are framed, found again after damage, and packed.

Called by store.measure_chunks.

Invariant: a damaged record is left out and counted, and every whole record behind it is still found. Held by
tests/store/test_measure_records.py.
"""

import struct
import sys
import zlib
from array import array
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO, Final, Literal

from backports import zstd

if TYPE_CHECKING:
    Floats = array[float]
else:
    Floats = array  # Python 3.11 has no `array[float]`

_MAGIC: Final = b"BtM\xf1"
_HEAD: Final = struct.Struct("<4sBII")  # magic, kind, length, CRC of kind, length and payload
_CHECKED: Final = struct.Struct("<BI")
_LENGTH_MAX: Final = 64 * 2**20
_LEVEL: Final = 3
_LITTLE: Final = sys.byteorder == "little"


class DamagedError(Exception):
    """A record has content that cannot be used."""


@dataclass(frozen=True, slots=True)
class Found:
    """A record: its kind, and where its payload is in the file."""

    kind: int
    start: int
    end: int


@dataclass(slots=True)
class Scan:
    """The records of a file: `whole` is where its last whole record ends, `damaged` how many parts were skipped."""

    records: list[Found]
    whole: int = 0
    damaged: int = 0


def framed(kind: int, payload: bytes) -> bytes:
    """Return a record as bytes."""
    checked = _CHECKED.pack(kind, len(payload))
    return _HEAD.pack(_MAGIC, kind, len(payload), zlib.crc32(payload, zlib.crc32(checked))) + payload


def scanned(data: bytes, *, start: int = 0) -> Scan:
    """Return the records of a file from `start` on. A part of a record at its end is not counted as damage."""
    found, at = Scan([], whole=start), start
    while at < len(data):
        record = _record_at(data, at)
        if record is None:
            at = data.find(_MAGIC, at + 1)
            if at < 0:
                break
            continue
        if _head_start(record) > found.whole:
            found.damaged += 1
        found.records.append(record)
        found.whole = at = record.end
    return found


def walked(file: BinaryIO, size: int) -> list[Found] | None:
    """Return the records of a file without reading their content; None if they do not follow each other to its end."""
    found, at = list[Found](), 0
    while at < size:
        file.seek(at)
        head = file.read(_HEAD.size)
        if len(head) < _HEAD.size or head[: len(_MAGIC)] != _MAGIC:
            return None
        _, kind, length, _ = _HEAD.unpack(head)
        found.append(Found(kind, at + _HEAD.size, at + _HEAD.size + length))
        at = found[-1].end
    return found if at == size else None


def content_of(file: BinaryIO, record: Found) -> bytes:
    """Return the payload of a record. Raises DamagedError."""
    file.seek(_head_start(record))
    data = file.read(record.end - _head_start(record))
    if _record_at(data, 0) is None:
        raise DamagedError("a part of it is damaged")
    return data[_HEAD.size :]


def _head_start(record: Found) -> int:
    return record.start - _HEAD.size


def _record_at(data: bytes, at: int) -> Found | None:
    if len(data) - at < _HEAD.size:
        return None
    magic, kind, length, crc = _HEAD.unpack_from(data, at)
    start, end = at + _HEAD.size, at + _HEAD.size + length
    if magic != _MAGIC or length > _LENGTH_MAX or end > len(data):
        return None
    checked = zlib.crc32(memoryview(data)[start:end], zlib.crc32(_CHECKED.pack(kind, length)))
    return Found(kind, start, end) if checked == crc else None


def packed(values: Floats) -> bytes:
    """Return numbers as compressed bytes, those of equal weight together."""
    data = _little(values).tobytes()
    width = values.itemsize
    return zstd.compress(b"".join(data[plane::width] for plane in range(width)), _LEVEL)


def unpacked(kind: Literal["f", "d"], data: bytes) -> Floats:
    """Return the numbers of `packed`. Raises DamagedError."""
    values = array(kind)
    plain, width = uncompressed(data), values.itemsize
    if len(plain) % width:
        raise DamagedError("its numbers are not whole")
    count = len(plain) // width
    whole = bytearray(len(plain))
    for plane in range(width):
        whole[plane::width] = plain[plane * count : (plane + 1) * count]
    values.frombytes(whole)
    return _little(values)


def compressed(data: bytes) -> bytes:
    """Return bytes compressed."""
    return zstd.compress(data, _LEVEL)


def uncompressed(data: bytes) -> bytes:
    """Return the bytes of `compressed`. Raises DamagedError."""
    try:
        return zstd.decompress(data)
    except (zstd.ZstdError, EOFError) as error:
        raise DamagedError(f"its content cannot be decompressed: {error}") from error


def _little(values: Floats) -> Floats:
    if not _LITTLE:
        values = array(values.typecode, values)
        values.byteswap()
    return values
