"""A memo never fails: a damaged file counts as an empty one."""

import sqlite3
from pathlib import Path

import pytest

from bateau.store import memo as memo_module
from bateau.store.memo import MemoFile


def test_what_was_put_is_found_by_another_process_that_opens_it(tmp_path: Path) -> None:
    one = MemoFile(tmp_path / "m")
    one.put({b"a": b"1", b"b": b"2"})
    one.close()
    other = MemoFile(tmp_path / "m")
    assert other.get([b"a", b"c", b"b"]) == {b"a": b"1", b"b": b"2"}
    assert (tmp_path / "m").stat().st_mode & 0o077 == 0


def test_more_keys_than_a_statement_takes(tmp_path: Path) -> None:
    memo = MemoFile(tmp_path / "m")
    entries = {str(number).encode(): b"x" for number in range(3000)}
    memo.put(entries)
    assert memo.get(entries) == entries


@pytest.mark.parametrize("content", [b"no database", b"", b"SQLite format 3\0" + b"\xff" * 200])
def test_a_damaged_file_is_begun_anew(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "m"
    path.write_bytes(content)
    memo = MemoFile(path)
    memo.put({b"a": b"1"})
    assert memo.get([b"a"]) in ({b"a": b"1"}, {})
    memo.close()
    again = MemoFile(path)
    again.put({b"b": b"2"})
    assert again.get([b"b"]) in ({b"b": b"2"}, {})


def test_a_flipped_bit_in_a_value_is_not_taken_for_a_result(tmp_path: Path) -> None:
    path = tmp_path / "m"
    memo = MemoFile(path)
    memo.put({b"a": b"x" * 100, b"b": b"y" * 100})
    memo.close()
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    content = path.read_bytes()
    assert content.count(b"x" * 100) == 1
    path.write_bytes(content.replace(b"x" * 100, b"x" * 99 + b"z"))
    again = MemoFile(path)
    assert again.get([b"a", b"b"]) == {b"b": b"y" * 100}
    again.put({b"a": b"1"})
    assert again.get([b"a"]) == {b"a": b"1"}


def test_a_file_of_another_version_is_begun_anew(tmp_path: Path) -> None:
    path = tmp_path / "m"
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 99")
    connection.commit()
    connection.close()
    memo = MemoFile(path)
    memo.put({b"a": b"1"})
    assert memo.get([b"a"]) == {b"a": b"1"}


def test_where_nothing_can_be_written_nothing_is_kept(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    memo = MemoFile(tmp_path / "file" / "m")
    memo.put({b"a": b"1"})
    assert memo.get([b"a"]) == {}


def test_a_file_that_grew_too_large_is_begun_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memo_module, "BYTES_MAX", 50_000)
    memo = MemoFile(tmp_path / "m")
    for number in range(40):
        memo.put({str(number).encode(): bytes(10_000)})
    memo.put({b"last": b"1"})
    assert memo.get([b"0"]) == {}
    assert memo.get([b"last"]) in ({b"last": b"1"}, {})
