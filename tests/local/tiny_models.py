"""Tiny BERT models with random weights that llama.cpp loads: an embedding model, and a reranker with its classifier.

Invariant: the same pooling gives the same bytes.
"""

import random
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

MEAN, RANK = 1, 4
_WIDTH, _LAYERS, _HEADS, _HIDDEN, _CONTEXT = 64, 2, 2, 128, 1024
_SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
_TOKENS = (*_SPECIAL, *(f"\u2581{chr(letter)}" for letter in range(97, 123)), *map(chr, range(97, 123)))
_U32, _I32, _F32, _BOOL, _STRING, _ARRAY = 4, 5, 6, 7, 8, 9
_CONTROL, _NORMAL = 3, 1


def write_bert(path: Path, *, pooling: int, doubled_token: bool = False) -> Path:
    """Write a model of 0.5 MB to `path`; with a doubled token, llama.cpp aborts when it loads the model."""
    tokens = (*_TOKENS[:-1], _TOKENS[-2]) if doubled_token else _TOKENS
    values, tensors = dict(_values(pooling, tokens)), list(_tensors(pooling))
    head = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(values))
    head += b"".join(_text(key) + value for key, value in values.items())
    offset, body = 0, b""
    numbers = random.Random(pooling)  # noqa: S311 - weights, not secrets
    for name, shape, centre in tensors:
        count = 1
        for size in shape:
            count *= size
        head += _text(name) + struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape, 0, offset)
        data = struct.pack(f"<{count}f", *(centre + numbers.gauss(0, 0.1) for _ in range(count)))
        body += data + bytes(-len(data) % 32)
        offset = len(body)
    path.write_bytes(head + bytes(-len(head) % 32) + body)
    return path


def _values(pooling: int, tokens: tuple[str, ...]) -> Iterator[tuple[str, bytes]]:
    yield "general.architecture", _value("bert")
    yield "general.name", _value("Tiny BERT")
    for name, value in (
        ("block_count", _LAYERS),
        ("context_length", _CONTEXT),
        ("embedding_length", _WIDTH),
        ("feed_forward_length", _HIDDEN),
        ("attention.head_count", _HEADS),
        ("attention.layer_norm_epsilon", 1e-12),
        ("attention.causal", False),
        ("pooling_type", pooling),
    ):
        yield f"bert.{name}", _value(value)
    yield "tokenizer.ggml.model", _value("bert")
    yield "tokenizer.ggml.pre", _value("jina-v2-en")
    yield "tokenizer.ggml.tokens", _array(_STRING, [_text(token) for token in tokens])
    kinds = [_CONTROL if token in _SPECIAL else _NORMAL for token in tokens]
    yield "tokenizer.ggml.token_type", _array(_I32, [struct.pack("<i", kind) for kind in kinds])
    yield "tokenizer.ggml.token_type_count", _value(2)
    for name, token in (("padding", 0), ("unknown", 1), ("cls", 2), ("bos", 2), ("seperator", 3), ("eos", 3)):
        yield f"tokenizer.ggml.{name}_token_id", _value(token)
    yield "tokenizer.ggml.mask_token_id", _value(4)
    yield "tokenizer.ggml.add_bos_token", _value(True)
    yield "tokenizer.ggml.add_eos_token", _value(True)


def _tensors(pooling: int) -> Iterator[tuple[str, tuple[int, ...], float]]:
    yield "token_embd.weight", (_WIDTH, len(_TOKENS)), 0.0
    yield "position_embd.weight", (_WIDTH, _CONTEXT), 0.0
    yield "token_types.weight", (_WIDTH, 2), 0.0
    yield from _pair("token_embd_norm", (_WIDTH,), centre=1.0)
    for layer in range(_LAYERS):
        for name in ("attn_q", "attn_k", "attn_v", "attn_output"):
            yield from _pair(f"blk.{layer}.{name}", (_WIDTH, _WIDTH))
        yield from _pair(f"blk.{layer}.attn_output_norm", (_WIDTH,), centre=1.0)
        yield from _pair(f"blk.{layer}.ffn_up", (_WIDTH, _HIDDEN))
        yield from _pair(f"blk.{layer}.ffn_down", (_HIDDEN, _WIDTH))
        yield from _pair(f"blk.{layer}.layer_output_norm", (_WIDTH,), centre=1.0)
    if pooling == RANK:
        yield from _pair("cls", (_WIDTH, _WIDTH))
        yield from _pair("cls.output", (_WIDTH, 1))


def _pair(name: str, shape: tuple[int, ...], *, centre: float = 0.0) -> Iterator[tuple[str, tuple[int, ...], float]]:
    yield f"{name}.weight", shape, centre
    yield f"{name}.bias", shape[-1:], 0.0


def _text(text: str) -> bytes:
    data = text.encode()
    return struct.pack("<Q", len(data)) + data


def _value(value: Any) -> bytes:
    if isinstance(value, bool):
        return struct.pack("<I?", _BOOL, value)
    if isinstance(value, int):
        return struct.pack("<II", _U32, value)
    if isinstance(value, float):
        return struct.pack("<If", _F32, value)
    return struct.pack("<I", _STRING) + _text(value)


def _array(kind: int, items: list[bytes]) -> bytes:
    return struct.pack("<IIQ", _ARRAY, kind, len(items)) + b"".join(items)
