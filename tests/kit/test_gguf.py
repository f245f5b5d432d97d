"""Headers of GGUF files, whole and broken."""

import struct
from pathlib import Path

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
    assert (header.context_length, header.chat_template, header.embedding) == (512, True, False)
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


def test_a_pooling_type_makes_an_embedding_model(tmp_path: Path) -> None:
    assert read_gguf(write(tmp_path, gguf({"general.architecture": "bert", "bert.pooling_type": 1}))).embedding


def test_a_file_cut_short_says_what_is_there_and_what_should_be(tmp_path: Path) -> None:
    data = gguf(floats=64)
    with pytest.raises(GgufError, match=f"cut short: {len(data)} bytes expected, {len(data) - 1} there"):
        read_gguf(write(tmp_path, data[:-1]))


def test_a_file_cut_at_any_byte_of_its_header_is_refused(tmp_path: Path) -> None:
    data = gguf()
    for length in range(4, len(data), 7):
        with pytest.raises(GgufError, match="cut short"):
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
        (b"something", "something that begins with"),
    ],
)
def test_what_is_no_gguf_is_called_by_what_it_looks_like(tmp_path: Path, data: bytes, says: str) -> None:
    with pytest.raises(GgufError, match=says):
        read_gguf(write(tmp_path, data))


def test_absurd_lengths_cost_no_memory(tmp_path: Path) -> None:
    for count in (2**40, 2**63):
        data = b"GGUF" + struct.pack("<IQQ", 3, count, count)
        with pytest.raises(GgufError, match="cut short"):
            read_gguf(write(tmp_path, data))
    data = b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + struct.pack("<Q", 1) + b"k" + struct.pack("<IQ", 8, 2**62)
    with pytest.raises(GgufError, match="cut short"):
        read_gguf(write(tmp_path, data))


def test_versions_that_are_not_read_are_named(tmp_path: Path) -> None:
    with pytest.raises(GgufError, match="big-endian GGUF version 3"):
        read_gguf(write(tmp_path, b"GGUF" + struct.pack(">I", 3) + bytes(64)))
    with pytest.raises(GgufError, match="GGUF version 1"):
        read_gguf(write(tmp_path, b"GGUF" + struct.pack("<I", 1) + bytes(64)))
