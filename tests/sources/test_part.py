"""A part of a download: its bytes on the disk and its checksum."""

import hashlib
import os
from pathlib import Path

import pytest

from bateau.sources.part import Part


def test_a_write_that_fails_leaves_the_part_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    part = Part(tmp_path / "m.part", reference="https://example.org/m.gguf")
    part.open(has_checksum=True)
    part.write(b"first")
    write = os.write

    def half(descriptor: int, data: bytes) -> int:
        monkeypatch.setattr(os, "write", full)
        return write(descriptor, bytes(data)[:3])

    def full(_descriptor: int, _data: bytes) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "write", half)
    with pytest.raises(OSError, match="No space"):
        part.write(b"second")
    monkeypatch.undo()
    assert (tmp_path / "m.part").read_bytes() == b"first"
    assert part.sha256() == hashlib.sha256(b"first").hexdigest()
    part.write(b"third")
    assert (tmp_path / "m.part").read_bytes() == b"firstthird"
    assert part.sha256() == hashlib.sha256(b"firstthird").hexdigest()
    assert part.position == 10
