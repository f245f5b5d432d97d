"""Read the header of a GGUF file: the properties of the model, and whether the file is complete.

Called by sources.header. Knows the file format and nothing about Bateau.
Format: the GGUF specification in the ggml repository (docs/gguf.md), versions 2 and 3, little endian.

Invariant: memory and time stay bounded, whatever the file announces; only the few values below are kept. Held by
tests/kit/test_gguf.py.
Refused: the `gguf` package; it depends on numpy and maps the whole file to answer six questions.
"""

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

MAGIC: Final = b"GGUF"

Scalar = bool | int | float | str
Value = Scalar | tuple[Scalar, ...] | None

_BUFFER_BYTES: Final = 1 << 20
_KEY_BYTES_MAX: Final = 65_535  # docs/gguf.md: "up to 2^16-1 bytes long"
_KEPT_STRING_BYTES_MAX: Final = 4_096
_KEPT_ARRAY_ITEMS_MAX: Final = 1_024  # lists have one item per layer
_KEPT_VALUES_MAX: Final = 256
# Far more than models have: some tens of keys, thousands of tensors, half a million tokens and as many merges.
_KEYS_MAX: Final = 65_536
_TENSORS_MAX: Final = 1 << 20
_ITEMS_MAX: Final = 1 << 23
_KEY_BYTES_MIN: Final = 13  # an empty name, a type and a value of one byte
_TENSOR_BYTES_MIN: Final = 24  # an empty name, no dimensions, a type and an offset
_DIMENSIONS_MAX: Final = 8
_NESTING_MAX: Final = 4
_ALIGNMENT_DEFAULT: Final = 32
_F16_BYTES: Final = 2
_VERSIONS: Final = (2, 3)

_KEPT_KEYS: Final = frozenset(
    {
        "general.architecture",
        "general.type",
        "general.name",
        "general.alignment",
        "general.file_type",
        "split.count",
        "tokenizer.chat_template",
    }
)
_KEPT_ENDINGS: Final = (
    ".context_length",
    ".block_count",
    ".embedding_length",
    ".attention.head_count",
    ".attention.head_count_kv",
    ".attention.key_length",
    ".attention.value_length",
    ".attention.causal",
    ".pooling_type",
)
_KEPT_KEY_CHARS_MAX: Final = 256

_STRING: Final = 8
_ARRAY: Final = 9
_BOOL: Final = 7
_FIXED: Final[Mapping[int, str]] = {
    0: "<B",
    1: "<b",
    2: "<H",
    3: "<h",
    4: "<I",
    5: "<i",
    6: "<f",
    7: "<?",
    10: "<Q",
    11: "<q",
    12: "<d",
}

# ggml's tensor types: (elements per block, bytes per block), from ggml.h and ggml-common.h.
_BLOCKS: Final[Mapping[int, tuple[int, int]]] = {
    0: (1, 4),  # F32
    1: (1, 2),  # F16
    2: (32, 18),  # Q4_0
    3: (32, 20),  # Q4_1
    6: (32, 22),  # Q5_0
    7: (32, 24),  # Q5_1
    8: (32, 34),  # Q8_0
    9: (32, 36),  # Q8_1
    10: (256, 84),  # Q2_K
    11: (256, 110),  # Q3_K
    12: (256, 144),  # Q4_K
    13: (256, 176),  # Q5_K
    14: (256, 210),  # Q6_K
    15: (256, 292),  # Q8_K
    16: (256, 66),  # IQ2_XXS
    17: (256, 74),  # IQ2_XS
    18: (256, 98),  # IQ3_XXS
    19: (256, 50),  # IQ1_S
    20: (32, 18),  # IQ4_NL
    21: (256, 110),  # IQ3_S
    22: (256, 82),  # IQ2_S
    23: (256, 136),  # IQ4_XS
    24: (1, 1),  # I8
    25: (1, 2),  # I16
    26: (1, 4),  # I32
    27: (1, 8),  # I64
    28: (1, 8),  # F64
    29: (256, 56),  # IQ1_M
    30: (1, 2),  # BF16
    34: (256, 54),  # TQ1_0
    35: (256, 66),  # TQ2_0
    39: (32, 17),  # MXFP4
}

# The types of most tensors by their numbers: llama_ftype of llama.h.
_NUMBERED_TYPES: Final = (
    "0:F32 1:F16 2:Q4_0 3:Q4_1 7:Q8_0 8:Q5_0 9:Q5_1 10:Q2_K 11:Q3_K_S 12:Q3_K_M 13:Q3_K_L 14:Q4_K_S 15:Q4_K_M "
    "16:Q5_K_S 17:Q5_K_M 18:Q6_K 19:IQ2_XXS 20:IQ2_XS 21:Q2_K_S 22:IQ3_XS 23:IQ3_XXS 24:IQ1_S 25:IQ4_NL 26:IQ3_S "
    "27:IQ3_M 28:IQ2_S 29:IQ2_M 30:IQ4_XS 31:IQ1_M 32:BF16 36:TQ1_0 37:TQ2_0 38:MXFP4_MOE"
)
_FILE_TYPES: Final = {
    int(number): name for number, _, name in (each.partition(":") for each in _NUMBERED_TYPES.split())
}
_POOLINGS: Final = ("none", "mean", "cls", "last", "rank")  # llama_pooling_type of llama.h

_OTHER_FORMATS: Final[tuple[tuple[bytes, str], ...]] = (
    (b"version https://git-lfs", "a Git LFS pointer, not the file it points to"),
    (b"<!doctype html", "an HTML page"),
    (b"<html", "an HTML page"),
    (b"<?xml", "an XML document"),
    (b"pk\x03\x04", "a ZIP archive (a PyTorch file or a wheel?)"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"lmgg", "a GGML file from before GGUF"),
    (b"fmgg", "a GGML file from before GGUF"),
    (b"tjgg", "a GGML file from before GGUF"),
    (b"{", "a JSON document"),
)


class GgufError(Exception):
    """The file is not a GGUF, is truncated, or cannot be parsed. The message continues a sentence: "is ..."."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gguf:
    """The content of a header. Lengths are in tokens; None if the header has no value.

    `parameters` is the number of weights in all tensors. `file_type` is the name of the quantisation, such as "Q4_K_M".

    `kv_bytes_per_token` is the f16 KV cache of one token over all layers with attention. It is an upper bound if the
    model uses a sliding window, and None if the header does not give the shape of its heads.
    """

    version: int
    architecture: str
    kind: str | None  # general.type: "model", "adapter", "mmproj", ...
    name: str | None
    context_length: int | None
    kv_bytes_per_token: int | None
    chat_template: bool
    pooling: str | None  # of the outputs of all tokens into one: "none", "mean", "cls", "last", "rank"
    causal: bool  # False: every token sees every other, so that the model cannot generate
    split_count: int
    tensor_count: int
    bytes_expected: int
    parameters: int
    file_type: str | None


def read_gguf(path: Path) -> Gguf:
    """Read the header of the file at `path`, and check that every tensor it announces is inside the file.

    Raises GgufError if it is not a complete GGUF, OSError if it cannot be read.
    """
    size_bytes = path.stat().st_size
    with path.open("rb", buffering=_BUFFER_BYTES) as file:
        head = file.read(64)
        file.seek(0)
        reader = _Reader(file, size_bytes)
        version = _version(reader, head)
        tensor_count, key_count = reader.number("<Q"), reader.number("<Q")
        reader.announced(tensor_count, of="tensors", bytes_min=_TENSOR_BYTES_MIN, limit=_TENSORS_MAX)
        reader.announced(key_count, of="keys", bytes_min=_KEY_BYTES_MIN, limit=_KEYS_MAX)
        values = _values(reader, key_count)
        bytes_expected, parameters = _sizes(reader, tensor_count, values)
    if size_bytes < bytes_expected:
        msg = f"is truncated: expected {bytes_expected} bytes, found {size_bytes}"
        raise GgufError(msg)
    return _header(
        values, version=version, tensor_count=tensor_count, bytes_expected=bytes_expected, parameters=parameters
    )


class _Reader:
    """Reads forward only, and knows the end of the file."""

    def __init__(self, file: BinaryIO, size_bytes: int) -> None:
        self._file = file
        self._size_bytes = size_bytes
        self._items = 0
        self.position = 0

    def take(self, count: int) -> bytes:
        self._claim(count)
        data = self._file.read(count)
        if len(data) < count:  # the file shrank while it was read
            raise self._cut(self.position)
        return data

    def skip(self, count: int) -> None:
        self._claim(count)
        # A short read stays within the buffer; a seek on a buffered file may discard the buffer.
        if count < _BUFFER_BYTES // 16:
            self._file.read(count)
        else:
            self._file.seek(count, 1)

    def number(self, form: str) -> int:
        return int(struct.unpack(form, self.take(struct.calcsize(form)))[0])

    def string(self, limit: int, what: str) -> str:
        length = self.number("<Q")
        if length > limit:
            msg = f"has a {what} of {length} bytes, more than the {limit} allowed"
            raise GgufError(msg)
        return self.take(length).decode("utf-8", "replace")

    def announced(self, count: int, *, of: str, bytes_min: int, limit: int) -> None:
        """Reject a count before it is used: more than the file can hold, or more than any model has."""
        if count * bytes_min > self._size_bytes - self.position:
            raise self._cut(self.position + count * bytes_min)
        if count > limit:
            msg = f"announces {count} {of}, more than the {limit} allowed"
            raise GgufError(msg)

    def items(self, count: int) -> None:
        """Count items that must be read one by one, over the whole header."""
        self._items += count
        self.announced(self._items, of="strings in lists", bytes_min=0, limit=_ITEMS_MAX)

    def _claim(self, count: int) -> None:
        self.position += count
        if self.position > self._size_bytes:
            raise self._cut(self.position)

    def _cut(self, needed: int) -> GgufError:
        return GgufError(f"is truncated in its header: expected at least {needed} bytes, found {self._size_bytes}")


def _version(reader: _Reader, head: bytes) -> int:
    if not head.startswith(MAGIC):
        msg = f"is not a GGUF file: it looks like {_looks_like(head)}"
        raise GgufError(msg)
    reader.skip(len(MAGIC))
    version = reader.number("<I")
    if version not in _VERSIONS:
        swapped = int.from_bytes(version.to_bytes(4, "little"), "big")
        says = f"big-endian GGUF version {swapped}" if swapped in _VERSIONS else f"GGUF version {version}"
        msg = f"is {says}; only little-endian versions 2 and 3 are supported"
        raise GgufError(msg)
    return version


def _looks_like(head: bytes) -> str:
    if not head:
        return "an empty file"
    if not head.strip(b"\0"):
        return "zeros"
    lowered = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    for start, says in _OTHER_FORMATS:
        if lowered.startswith(start):
            return says
    if head[8:9] == b"{":
        return "a safetensors file"
    return f"something that begins with {head[:8]!r}"


def _values(reader: _Reader, count: int) -> Mapping[str, Value]:
    values: dict[str, Value] = {}
    for _ in range(count):
        key = reader.string(_KEY_BYTES_MAX, "key")
        kind = reader.number("<I")
        if not _wanted(key):
            _skip(reader, kind)
            continue
        values[key] = _value(reader, kind)
        if len(values) > _KEPT_VALUES_MAX:
            msg = f"describes its shape with more than {_KEPT_VALUES_MAX} keys"
            raise GgufError(msg)
    return values


def _wanted(key: str) -> bool:
    # The architecture is not known yet, so the keys that begin with it are recognised by their ending.
    return key in _KEPT_KEYS or (len(key) <= _KEPT_KEY_CHARS_MAX and key.endswith(_KEPT_ENDINGS))


def _value(reader: _Reader, kind: int) -> Value:
    """Read a value that is small enough to keep; skip a larger one and return None."""
    if kind == _STRING:
        length = reader.number("<Q")
        if length > _KEPT_STRING_BYTES_MAX:
            reader.skip(length)
            return None
        return reader.take(length).decode("utf-8", "replace")
    if kind == _ARRAY:
        item_kind, count = reader.number("<I"), reader.number("<Q")
        if item_kind in _FIXED and count <= _KEPT_ARRAY_ITEMS_MAX:
            return tuple(_fixed(reader, item_kind) for _ in range(count))
        _skip_items(reader, item_kind, count=count, depth=1)
        return None
    return _fixed(reader, kind)


def _fixed(reader: _Reader, kind: int) -> Scalar:
    form = _form(kind)
    value: Scalar = struct.unpack(form, reader.take(struct.calcsize(form)))[0]
    return value


def _form(kind: int) -> str:
    form = _FIXED.get(kind)
    if form is None:
        msg = f"has a metadata value of type {kind}, which GGUF does not define"
        raise GgufError(msg)
    return form


def _skip(reader: _Reader, kind: int, *, depth: int = 0) -> None:
    if kind == _STRING:
        reader.skip(reader.number("<Q"))
    elif kind == _ARRAY:
        item_kind, count = reader.number("<I"), reader.number("<Q")
        _skip_items(reader, item_kind, count=count, depth=depth + 1)
    else:
        reader.skip(struct.calcsize(_form(kind)))


def _skip_items(reader: _Reader, item_kind: int, *, count: int, depth: int) -> None:
    if depth > _NESTING_MAX:
        msg = f"nests arrays deeper than {_NESTING_MAX}"
        raise GgufError(msg)
    if item_kind in _FIXED:
        reader.skip(count * struct.calcsize(_FIXED[item_kind]))
        return
    reader.items(count)
    for _ in range(count):
        _skip(reader, item_kind, depth=depth)


def _sizes(reader: _Reader, tensor_count: int, values: Mapping[str, Value]) -> tuple[int, int]:
    """Return the smallest size of the file, in bytes, that contains all tensors, and the number of their weights."""
    end = parameters = 0
    for _ in range(tensor_count):
        reader.string(_KEY_BYTES_MAX, "tensor name")
        dimensions = reader.number("<I")
        if dimensions > _DIMENSIONS_MAX:
            msg = f"has a tensor of {dimensions} dimensions"
            raise GgufError(msg)
        elements = 1
        for _ in range(dimensions):
            elements *= reader.number("<Q")
        parameters += elements
        # A type newer than this table counts as 0 bytes: only its offset must be inside the file.
        block, block_bytes = _BLOCKS.get(reader.number("<I"), (1, 0))
        end = max(end, reader.number("<Q") + -(-elements // block) * block_bytes)
    alignment = values.get("general.alignment") or _ALIGNMENT_DEFAULT
    if not isinstance(alignment, int) or alignment < 1:
        msg = f"has general.alignment {alignment!r}"
        raise GgufError(msg)
    # Some writers omit the padding after the last tensor; the tensors themselves must be complete.
    start = -(-reader.position // alignment) * alignment
    return start + end if tensor_count else reader.position, parameters


def _header(
    values: Mapping[str, Value], *, version: int, tensor_count: int, bytes_expected: int, parameters: int
) -> Gguf:
    architecture = _text(values, "general.architecture")
    if architecture is None:
        msg = "has no general.architecture in its header"
        raise GgufError(msg)
    return Gguf(
        version=version,
        architecture=architecture,
        kind=_text(values, "general.type"),
        name=_text(values, "general.name"),
        context_length=_integer(values, f"{architecture}.context_length"),
        kv_bytes_per_token=_kv_bytes_per_token(values, architecture),
        chat_template="tokenizer.chat_template" in values,
        pooling=_pooling(_integer(values, f"{architecture}.pooling_type")),
        causal=values.get(f"{architecture}.attention.causal") is not False,
        split_count=_integer(values, "split.count") or 1,
        tensor_count=tensor_count,
        bytes_expected=bytes_expected,
        parameters=parameters,
        file_type=_file_type(_integer(values, "general.file_type")),
    )


def _file_type(number: int | None) -> str | None:
    return None if number is None else _FILE_TYPES.get(number)


def _pooling(number: int | None) -> str | None:
    return _POOLINGS[number] if number is not None and 0 <= number < len(_POOLINGS) else None


def _text(values: Mapping[str, Value], key: str) -> str | None:
    value = values.get(key)
    return value if isinstance(value, str) and value else None


def _integer(values: Mapping[str, Value], key: str) -> int | None:
    value = values.get(key)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _kv_bytes_per_token(values: Mapping[str, Value], architecture: str) -> int | None:
    """Sum keys and values of all layers, as f16. Layers without KV heads (recurrent, convolution) count 0."""
    layers = _integer(values, f"{architecture}.block_count")
    if layers is None or layers > _KEPT_ARRAY_ITEMS_MAX:
        return None
    heads = _per_layer(values.get(f"{architecture}.attention.head_count"), layers)
    if heads is None:
        return None
    # docs/gguf.md: without head_count_kv the model has no grouped-query attention: as many as head_count.
    kv_heads = _per_layer(values.get(f"{architecture}.attention.head_count_kv"), layers) or heads
    width = _integer(values, f"{architecture}.embedding_length")
    heads_most = max(heads, default=0)
    head_width = width // heads_most if width and heads_most else None
    key = _integer(values, f"{architecture}.attention.key_length") or head_width
    value = _integer(values, f"{architecture}.attention.value_length") or head_width
    if not any(kv_heads):
        return 0
    if key is None or value is None:
        return None
    return sum(kv_heads) * (key + value) * _F16_BYTES


def _per_layer(value: Value, layers: int) -> tuple[int, ...] | None:
    """Apply one number to all layers; keep a list that has one item per layer."""
    if isinstance(value, tuple):
        return tuple(item for item in value if isinstance(item, int)) or None
    return (value,) * layers if isinstance(value, int) else None
