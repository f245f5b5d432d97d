"""Archives are those of tarfile and Zstandard, the same bytes for the same files, and bounded when they are read."""

import tarfile
from io import BytesIO

import pytest
from backports import zstd
from hypothesis import given
from hypothesis import strategies as st

from bateau.kit import archive as module
from bateau.kit.archive import ArchiveError, archive, compressed, decompressed, files_in, members

NAMES = st.text(st.characters(codec="utf-8", exclude_characters="\0/"), min_size=1, max_size=130).filter(
    lambda name: name not in (".", "..")
)


@given(st.dictionaries(NAMES, st.binary(max_size=1500), max_size=4))
def test_files_come_back_and_stand_as_tarfile_writes_them(files: dict[str, bytes]) -> None:
    assert files_in(archive([compressed(members(files))])) == files
    expected = b""
    for name, content in files.items():
        info = tarfile.TarInfo(name)
        info.size, info.mode = len(content), 0o644
        expected += info.tobuf(tarfile.PAX_FORMAT) + content + bytes(-len(content) % 512)
    assert members(files) == expected


def test_frames_one_after_another_are_one_archive() -> None:
    whole = archive([compressed(members({"a": b"1"})), compressed(members({"b": b"2"}))])
    with tarfile.open(fileobj=BytesIO(decompressed(whole))) as found:
        assert found.getnames() == ["a", "b"]


@pytest.mark.parametrize(
    "data", [b"no archive", compressed(b"x" * 512), archive([compressed(members({"a": b"1"}))])[:-3]]
)
def test_what_is_damaged_is_said(data: bytes) -> None:
    with pytest.raises(ArchiveError):
        files_in(data)


def test_links_are_passed_over_and_no_second_compression_is_opened() -> None:
    links, plain = BytesIO(), BytesIO()
    with tarfile.open(fileobj=links, mode="w") as made:
        for name, target in (("a", "b"), ("b", "a"), ("c", "/etc/passwd")):
            info = tarfile.TarInfo(name)
            info.type, info.linkname = tarfile.SYMTYPE, target
            made.addfile(info)
    assert files_in(compressed(links.getvalue())) == {}
    with tarfile.open(fileobj=plain, mode="w:gz") as made:
        made.addfile(tarfile.TarInfo("x"))
    with pytest.raises(ArchiveError):
        files_in(compressed(plain.getvalue()))


def test_many_frames_take_no_time_to_speak_of() -> None:
    assert decompressed(compressed(b"") * 30_000) == b""


def test_what_would_grow_without_end_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_UNPACKED_BYTES_MAX", 1000)
    with pytest.raises(ArchiveError, match="too large"):
        decompressed(zstd.compress(bytes(10_000)))
