"""Turn plain dictionaries into Envoy's protobuf messages, with the API of the binary that will read them.

Called by traffic.envoy. The Python package xds-protos lags behind Envoy and lacks messages and fields. The executable
contains the descriptors of its whole API, so they are read from there once and cached. A field that this Envoy does not
know fails here, before it is sent.

Invariant: the Envoy that an `EnvoyApi` was made for can parse every message that `encode` returns. Held by
tests/traffic/test_apps.py and tests/traffic/test_routing.py.
Refused: the message classes of xds-protos for resources. They are used for the discovery service only.
"""

import hashlib
import mmap
import re
from pathlib import Path

from google.protobuf import descriptor_pb2, descriptor_pool, json_format, message_factory
from google.protobuf.message import Message

from bateau.kit.json_value import ReadObject

_FILE_NAME = re.compile(
    rb"\x0a([\x08-\x7f])((?:envoy|xds|udpa|validate|google|opencensus|opentelemetry|prometheus|io|cel)/[\w/.]+\.proto)"
)
# Field numbers of FileDescriptorProto (google/protobuf/descriptor.proto); another number ends the message.
_FILE_DESCRIPTOR_FIELDS = frozenset({1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 14})
_SERIALIZED_FILE_MIN_BYTES = 20


class EnvoyApi:
    """The message types of one Envoy binary. `digest` identifies its release."""

    def __init__(self, binary: Path, cache: Path) -> None:
        files = _load(binary, cache)
        found = hashlib.blake2b(str(binary.stat().st_size).encode(), digest_size=8)
        for name in sorted(files):
            found.update(files[name].SerializeToString(deterministic=True))
        self.digest = found.hexdigest()
        self._pool = descriptor_pool.DescriptorPool(_Descriptors(files))

    def encode(self, type_name: str, value: ReadObject) -> bytes:
        """Return the wire form of `value`, the JSON form of message `type_name`.

        Raises `google.protobuf.json_format.ParseError` for a field that this Envoy does not have.
        """
        return wire_form(self.message(type_name, value))

    def message(self, type_name: str, value: ReadObject) -> Message:
        """Return `value`, the JSON form of message `type_name`, as a message. Raises ParseError as `encode`."""
        message = message_factory.GetMessageClass(self._pool.FindMessageTypeByName(type_name))()
        return json_format.ParseDict(dict(value), message, descriptor_pool=self._pool)


def wire_form(message: Message) -> bytes:
    """Return the bytes of a message; equal messages have the same."""
    return message.SerializeToString(deterministic=True)


class _Descriptors:
    """A descriptor database that gives a file to the pool when the pool needs it: most are never needed."""

    def __init__(self, files: dict[str, descriptor_pb2.FileDescriptorProto]) -> None:
        self._files = files
        self._by_symbol = {
            f"{file.package}.{name}": file
            for file in files.values()
            for name in [m.name for m in file.message_type] + [e.name for e in file.enum_type]
        }

    def FindFileByName(self, name: str) -> descriptor_pb2.FileDescriptorProto:  # noqa: N802 - protobuf's interface
        return self._files[name]

    def FindFileContainingSymbol(self, symbol: str) -> descriptor_pb2.FileDescriptorProto:  # noqa: N802
        parts = symbol.split(".")
        for end in range(len(parts), 0, -1):
            if found := self._by_symbol.get(".".join(parts[:end])):
                return found
        raise KeyError(symbol)


def _load(binary: Path, cache: Path) -> dict[str, descriptor_pb2.FileDescriptorProto]:
    status = binary.stat()
    key = hashlib.blake2b(f"{binary}:{status.st_size}:{status.st_mtime_ns}".encode(), digest_size=8).hexdigest()
    cached = cache / f"envoy-api-{key}.pb"
    files = descriptor_pb2.FileDescriptorSet()
    try:
        files.ParseFromString(cached.read_bytes())
    except Exception:  # noqa: BLE001 - absent, unreadable or damaged: reading the binary again fixes all three
        files = _extract(binary)
        try:
            cache.mkdir(parents=True, exist_ok=True)
            partial = cached.with_suffix(f".{key}.partial")
            partial.write_bytes(files.SerializeToString())
            partial.replace(cached)
        except OSError:
            pass  # with a read-only cache, each start takes a third of a second longer
    return {file.name: file for file in files.file}


def _extract(binary: Path) -> descriptor_pb2.FileDescriptorSet:
    """Find every serialized FileDescriptorProto that protoc's C++ code put into the executable."""
    found: dict[str, bytes] = {}
    with binary.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as image:
        for match in _FILE_NAME.finditer(image):
            name = match[2]
            if match[1][0] != len(name):
                continue
            end = _message_end(image, match.start())
            if end - match.start() > max(len(found.get(name.decode(), b"")), _SERIALIZED_FILE_MIN_BYTES):
                found[name.decode()] = image[match.start() : end]
    files = descriptor_pb2.FileDescriptorSet()
    for serialized in found.values():
        file = descriptor_pb2.FileDescriptorProto()
        try:
            file.ParseFromString(serialized)
        except Exception:  # noqa: BLE001, S112 - other data that resembles a descriptor; the real one is elsewhere
            continue
        files.file.append(file)
    return files


def _message_end(image: mmap.mmap, start: int) -> int:
    """Walk the fields from `start` on and return where the last plausible one ends."""
    position = end = start
    while True:
        try:
            tag, position = _varint(image, position)
            field, wire_type = tag >> 3, tag & 7
            if field not in _FILE_DESCRIPTOR_FIELDS or (field == 1 and end != start):
                return end
            if wire_type == 0:
                _, position = _varint(image, position)
            elif wire_type == 2:  # noqa: PLR2004 - wire types are the numbers of the protobuf encoding
                length, position = _varint(image, position)
                position += length
            else:
                return end
            if position > len(image):
                return end
            end = position
        except (IndexError, ValueError):
            return end


def _varint(image: mmap.mmap, position: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = image[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:  # noqa: PLR2004 - the continuation bit
            return value, position
        shift += 7
        if shift > 63:  # noqa: PLR2004 - a varint has ten bytes at most
            raise ValueError("no varint")
