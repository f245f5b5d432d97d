"""Tiny GGUF files, written by hand after docs/gguf.md."""

import struct
from collections.abc import Mapping, Sequence
from typing import Any

LLAMA: Mapping[str, Any] = {
    "general.architecture": "llama",
    "general.name": "Tiny",
    "llama.context_length": 512,
    "llama.block_count": 2,
    "llama.embedding_length": 64,
    "llama.attention.head_count": 4,
    "llama.attention.head_count_kv": 2,
    "tokenizer.ggml.tokens": ["a", "b", "c"],
    "tokenizer.chat_template": "{{ messages }}",
}

_U32, _I32, _F32, _BOOL, _STRING, _ARRAY = 4, 5, 6, 7, 8, 9
_TENSOR_F32 = 0


def gguf(
    values: Mapping[str, Any] = LLAMA, *, floats: int = 32, version: int = 3, tail: bytes = b"", tensors: int = 1
) -> bytes:
    """Return a whole file with so many floats, which all its tensors share."""
    head = b"GGUF" + struct.pack("<IQQ", version, tensors, len(values))
    head += b"".join(_text(key) + _value(value) for key, value in values.items())
    head += (_text("weight") + struct.pack("<IQIQ", 1, floats, _TENSOR_F32, 0)) * tensors
    return head + bytes(-len(head) % 32) + bytes(range(256)) * (floats // 64) + bytes(floats % 64 * 4) + tail


def _text(text: str) -> bytes:
    data = text.encode()
    return struct.pack("<Q", len(data)) + data


def _value(value: Any) -> bytes:
    kind, data = _typed(value)
    return struct.pack("<I", kind) + data


def _typed(value: Any) -> tuple[int, bytes]:
    if isinstance(value, bool):
        return _BOOL, struct.pack("<?", value)
    if isinstance(value, int):
        return _U32, struct.pack("<I", value)
    if isinstance(value, float):
        return _F32, struct.pack("<f", value)
    if isinstance(value, str):
        return _STRING, _text(value)
    items: Sequence[Any] = value
    kind = _typed(items[0])[0]
    return _ARRAY, struct.pack("<IQ", kind, len(items)) + b"".join(_typed(item)[1] for item in items)
