"""Headers of GGUF files, whole and broken."""

import struct
import tracemalloc
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from bateau.kit.gguf import GgufError, read_gguf
from sources.gguf_bytes import LLAMA, gguf


def write(tmp_path: Path, data: bytes) -> Path:
    path = tmp_path / "x.gguf"
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("version", [2, 3])
def test_what_serving_needs_is_read(tmp_path: Path, version: int) -> None:
    header = read_gguf(write(tmp_path, gguf(version=version)))
    assert (header.version, header.architecture, header.name) == (version, "llama", "Tiny")
    assert (header.context_length, header.chat_template) == (512, True)
    assert (header.pooling, header.causal) == (None, True)
    # 2 layers x 2 KV heads x (16 + 16) wide x 2 bytes
    assert header.kv_bytes_per_token == 256


def test_heads_given_layer_by_layer_are_summed(tmp_path: Path) -> None:
    header = read_gguf(write(tmp_path, gguf({**LLAMA, "llama.attention.head_count_kv": [2, 0]})))
    assert header.kv_bytes_per_token == 128


def test_key_and_value_lengths_go_before_the_embedding_length(tmp_path: Path) -> None:
    lengths = {"llama.attention.key_length": 8, "llama.attention.value_length": 4}
    assert read_gguf(write(tmp_path, gguf({**LLAMA, **lengths}))).kv_bytes_per_token == 2 * 2 * (8 + 4) * 2


def test_without_the_shape_of_heads_the_cache_is_unknown_and_not_zero(tmp_path: Path) -> None:
    header = read_gguf(write(tmp_path, gguf({"general.architecture": "llama"})))
    assert header.kv_bytes_per_token is None
    assert header.context_length is None
    assert not header.chat_template


@pytest.mark.parametrize(
    ("number", "pooling"),
    [(0, "none"), (1, "mean"), (2, "cls"), (3, "last"), (4, "rank"), (5, None), (2**32 - 1, None)],
)
def test_the_pooling_type_is_a_value(tmp_path: Path, number: int, pooling: str | None) -> None:
    """A5: one flag stood for everything that does not chat."""
    values = {"general.architecture": "bert", "bert.pooling_type": number}
    assert read_gguf(write(tmp_path, gguf(values))).pooling == pooling


def test_a_file_cut_short_says_what_is_there_and_what_should_be(tmp_path: Path) -> None:
    data = gguf(floats=64)
    with pytest.raises(GgufError, match=f"truncated: expected {len(data)} bytes, found {len(data) - 1}"):
        read_gguf(write(tmp_path, data[:-1]))


def test_a_file_cut_at_any_byte_of_its_header_is_refused(tmp_path: Path) -> None:
    data = gguf()
    for length in range(4, len(data), 7):
        with pytest.raises(GgufError, match="truncated"):
            read_gguf(write(tmp_path, data[:length]))


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "an empty file"),
        (b"<!DOCTYPE html><html>", "an HTML page"),
        (b"version https://git-lfs.github.com/spec/v1\noid", "a Git LFS pointer"),
        (b"PK\x03\x04....", "a ZIP archive"),
        (b'{"error": 1}', "a JSON document"),
        (b"\0" * 64, "zeros"),
        (struct.pack("<Q", 99) + b'{"__metadata__"', "a safetensors file"),
        (b"tjgg\x03\0\0\0", "a GGML file from before GGUF"),
        (b"something", "something that begins with"),
    ],
)
def test_what_is_no_gguf_is_called_by_what_it_looks_like(tmp_path: Path, data: bytes, says: str) -> None:
    with pytest.raises(GgufError, match=says):
        read_gguf(write(tmp_path, data))


def test_absurd_lengths_cost_no_memory(tmp_path: Path) -> None:
    for count in (2**40, 2**63):
        data = b"GGUF" + struct.pack("<IQQ", 3, count, count)
        with pytest.raises(GgufError, match="truncated"):
            read_gguf(write(tmp_path, data))
    data = b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + struct.pack("<Q", 1) + b"k" + struct.pack("<IQ", 8, 2**62)
    with pytest.raises(GgufError, match="truncated"):
        read_gguf(write(tmp_path, data))


def test_versions_that_are_not_read_are_named(tmp_path: Path) -> None:
    with pytest.raises(GgufError, match="big-endian GGUF version 3"):
        read_gguf(write(tmp_path, b"GGUF" + struct.pack(">I", 3) + bytes(64)))
    with pytest.raises(GgufError, match="GGUF version 1"):
        read_gguf(write(tmp_path, b"GGUF" + struct.pack("<I", 1) + bytes(64)))


def header(count: int, body: bytes, *, tensors: int = 0) -> bytes:
    """Return the beginning of a file that announces so many keys."""
    return b"GGUF" + struct.pack("<IQQ", 3, tensors, count) + body


def text(value: str) -> bytes:
    return struct.pack("<Q", len(value)) + value.encode()


def key(name: str, kind: int, data: bytes) -> bytes:
    return text(name) + struct.pack("<I", kind) + data


LLAMA_KEY = key("general.architecture", 8, text("llama"))
BYTE, STRING, ARRAY = 0, 8, 9


@pytest.mark.parametrize(
    ("extra", "causal"),
    [
        ({"llama.pooling_type": 0}, True),
        ({"llama.attention.causal": False}, False),
        ({"llama.attention.causal": True}, True),
    ],
)
def test_a_model_that_looks_both_ways_is_not_causal(tmp_path: Path, extra: Mapping[str, Any], *, causal: bool) -> None:
    assert read_gguf(write(tmp_path, gguf({**LLAMA, **extra}))).causal is causal


def test_without_kv_heads_every_head_counts(tmp_path: Path) -> None:
    values = {name: value for name, value in LLAMA.items() if name != "llama.attention.head_count_kv"}
    assert read_gguf(write(tmp_path, gguf(values))).kv_bytes_per_token == 2 * 4 * (16 + 16) * 2


def test_parts_and_kinds_are_told(tmp_path: Path) -> None:
    found = read_gguf(write(tmp_path, gguf({**LLAMA, "split.count": 3, "general.type": "adapter"})))
    assert (found.split_count, found.kind, found.tensor_count) == (3, "adapter", 1)


def test_quantised_tensors_are_sized_by_their_blocks(tmp_path: Path) -> None:
    """256 elements of Q4_K are 144 bytes, from where the alignment lets them begin."""
    data = header(2, LLAMA_KEY + key("general.alignment", 4, struct.pack("<I", 128)), tensors=1)
    data += text("w") + struct.pack("<IQIQ", 1, 256, 12, 0)
    data += bytes(-len(data) % 128)
    assert read_gguf(write(tmp_path, data + bytes(144))).bytes_expected == len(data) + 144
    with pytest.raises(GgufError, match="truncated"):
        read_gguf(write(tmp_path, data + bytes(143)))


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (header(1, struct.pack("<Q", 2**40) + bytes(64)), "has a key of 1099511627776 bytes"),
        (header(1, key("k", 99, bytes(8))), "type 99, which GGUF does not define"),
        (header(1, key("k", ARRAY, struct.pack("<IQ", BYTE, 2**62))), "is truncated"),
        (header(1, key("k", ARRAY, struct.pack("<IQ", STRING, 2**62))), "strings in lists, more than"),
        (header(1, key("k", ARRAY, struct.pack("<IQ", ARRAY, 1) * 50)), "nests arrays deeper"),
        (header(0, bytes(64)), "has no general.architecture"),
        (header(70_000, key("k", BYTE, b"\0") * 70_000), "announces 70000 keys, more than the 65536 allowed"),
        (header(0, bytes(24 << 21), tensors=1 << 21), "announces 2097152 tensors, more than"),
        (header(300, b"".join(key(f"{n}.block_count", BYTE, b"\1") for n in range(300))), "more than 256 keys"),
    ],
)
def test_a_header_that_no_model_has_is_refused(tmp_path: Path, data: bytes, says: str) -> None:
    with pytest.raises(GgufError, match=says):
        read_gguf(write(tmp_path, data))


@pytest.mark.parametrize(
    "body",
    [
        pytest.param([key(f"{n:060000}.block_count", BYTE, b"\1") for n in range(500)], id="long keys"),
        pytest.param([key(f"other.{n}", BYTE, b"\1") for n in range(65_000)], id="many keys"),
        pytest.param([key("general.name", STRING, text("x" * 20_000_000))], id="a long string"),
        pytest.param(
            [key("llama.block_count", ARRAY, struct.pack("<IQ", BYTE, 2**24) + bytes(2**24))], id="a long list"
        ),
    ],
)
def test_memory_stays_small_whatever_the_header_holds(tmp_path: Path, body: list[bytes]) -> None:
    path = write(tmp_path, header(1 + len(body), LLAMA_KEY + b"".join(body)))
    tracemalloc.start()
    try:
        read_gguf(path)
        peak_bytes = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak_bytes < 4_000_000


def test_more_layers_than_any_model_has_make_the_cache_unknown(tmp_path: Path) -> None:
    assert read_gguf(write(tmp_path, gguf({**LLAMA, "llama.block_count": 2**31}))).kv_bytes_per_token is None


def test_weights_are_counted_and_the_quantisation_is_named(tmp_path: Path) -> None:
    header = read_gguf(write(tmp_path, gguf({**LLAMA, "general.file_type": 15}, floats=64)))
    assert (header.parameters, header.file_type) == (64, "Q4_K_M")
    for unknown in ({}, {"general.file_type": 4}, {"general.file_type": "x"}):
        assert read_gguf(write(tmp_path, gguf({**LLAMA, **unknown}))).file_type is None
