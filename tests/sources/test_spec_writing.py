"""Spec files are written whole, inside their directory, and never over a text that the writer does not know."""

import os
import threading
from pathlib import Path

import pytest

from bateau.domain.errors import ControlError
from bateau.domain.text_change import ChangedMeanwhileError, TextChange
from bateau.sources.spec_files import SpecFiles
from bateau.sources.spec_writing import write_specs

A = "apiVersion: bateau.dev/v1alpha1\nkind: Model\nmetadata: {name: chat}\nspec: {source: smollm2}\n"
B = A.replace("smollm2", "qwen2.5-0.5b")


def new(after: str, before: str | None = None) -> TextChange:
    return TextChange(before=before, after=after)


def test_new_and_known_files_are_written(tmp_path: Path):
    write_specs(tmp_path, {"chat.yaml": new(A), "apps/shop/shop.yml": new(B)})
    assert SpecFiles(tmp_path, default={}).read() == {"chat.yaml": A, "apps/shop/shop.yml": B}
    (tmp_path / "chat.yaml").chmod(0o640)
    write_specs(tmp_path, {"chat.yaml": new(B, A)})
    assert (tmp_path / "chat.yaml").read_text() == B
    assert (tmp_path / "chat.yaml").stat().st_mode & 0o777 == 0o640
    assert sorted(each.name for each in tmp_path.iterdir()) == ["apps", "chat.yaml"], "nothing is left over"


@pytest.mark.parametrize(
    "name",
    [
        *("../out.yaml", "a/../../out.yaml", "/etc/out.yaml", "./out.yaml", "a//out.yaml", "", "out.yaml/"),
        *(".hidden.yaml", ".git/out.yaml", "node_modules/out.yaml", "out.txt", "out", "a\0.yaml", "a\n.yaml"),
        *("a\\..\\out.yaml", "\u202elmay.yaml", "x" * 300 + ".yaml"),
    ],
)
def test_no_name_leads_out_or_to_another_kind_of_file(tmp_path: Path, name: str):
    (tmp_path / "specs/a").mkdir(parents=True)
    with pytest.raises(ControlError, match="is not the name of a spec file"):
        write_specs(tmp_path / "specs", {"first.yaml": new(A), name: new(A)})
    assert [each.name for each in tmp_path.rglob("*") if each.is_file()] == []


def test_no_link_leads_out(tmp_path: Path):
    outside, specs = tmp_path / "outside", tmp_path / "specs"
    outside.mkdir()
    specs.mkdir()
    (outside / "file.yaml").write_text(A)
    (specs / "folder").symlink_to(outside)
    (specs / "file.yaml").symlink_to(outside / "file.yaml")
    (specs / "nothing.yaml").symlink_to(outside / "nothing.yaml")
    for name, before in (("folder/x.yaml", None), ("folder/file.yaml", A), ("file.yaml", A), ("nothing.yaml", None)):
        with pytest.raises(ControlError, match="link"):
            write_specs(specs, {name: new(B, before)})
    assert [each.name for each in outside.iterdir()] == ["file.yaml"]
    assert (outside / "file.yaml").read_text() == A


def test_a_file_that_has_changed_is_not_replaced(tmp_path: Path):
    (tmp_path / "one.yaml").write_text(A)
    (tmp_path / "two.yaml").write_text("# edited\n")
    with pytest.raises(ChangedMeanwhileError) as caught:
        write_specs(tmp_path, {"one.yaml": new(B, A), "two.yaml": new(B, A), "three.yaml": new(B, A)})
    assert caught.value.texts == {"two.yaml": "# edited\n", "three.yaml": None}
    assert (tmp_path / "one.yaml").read_text() == A
    assert (tmp_path / "two.yaml").read_text() == "# edited\n"
    with pytest.raises(ChangedMeanwhileError):
        write_specs(tmp_path, {"one.yaml": new(B)})


def test_a_file_that_would_not_be_read_is_not_written(tmp_path: Path):
    (tmp_path / ".bateauignore").write_text("drafts/\n")
    with pytest.raises(ControlError, match=r"drafts/a.yaml would not be read: .bateauignore excludes it"):
        write_specs(tmp_path, {"drafts/a.yaml": new(A)})
    assert not list(tmp_path.rglob("*.yaml"))


def test_a_directory_that_cannot_be_written_is_named(tmp_path: Path):
    with pytest.raises(ControlError, match=f"cannot write to {tmp_path}/gone: No such file"):
        write_specs(tmp_path / "gone", {"a.yaml": new(A)})
    (tmp_path / "a.yaml").mkdir()
    with pytest.raises(ControlError, match=r"a.yaml is not a regular file"):
        write_specs(tmp_path, {"a.yaml": new(A)})


def test_a_reader_never_sees_a_part_of_a_file(tmp_path: Path):
    long = [A + f"# {letter * 200_000}\n" for letter in "xy"]
    write_specs(tmp_path, {"chat.yaml": new(long[0])})
    seen, done = set[str](), threading.Event()

    def read() -> None:
        while not done.is_set():
            seen.add((tmp_path / "chat.yaml").read_text())

    reader = threading.Thread(target=read)
    reader.start()
    for number in range(30):
        write_specs(tmp_path, {"chat.yaml": new(long[(number + 1) % 2], long[number % 2])})
    done.set()
    reader.join()
    assert seen <= set(long)


def test_one_of_two_writers_wins(tmp_path: Path):
    (tmp_path / "chat.yaml").write_text(A)
    write_specs(tmp_path, {"chat.yaml": new(B, A)})
    with pytest.raises(ChangedMeanwhileError, match=r"chat.yaml has changed since this draft began"):
        write_specs(tmp_path, {"chat.yaml": new(A + "# mine\n", A)})
    assert (tmp_path / "chat.yaml").read_text() == B


def gone(before: str) -> TextChange:
    return TextChange(before=before, after=None)


def test_a_known_file_is_deleted(tmp_path: Path):
    write_specs(tmp_path, {"chat.yaml": new(A), "apps/shop.yaml": new(B)})
    write_specs(tmp_path, {"chat.yaml": gone(A)})
    assert SpecFiles(tmp_path, default={}).read() == {"apps/shop.yaml": B}
    assert sorted(each.name for each in tmp_path.rglob("*")) == ["apps", "shop.yaml"], "nothing is left over"


def test_a_file_that_has_changed_is_not_deleted(tmp_path: Path):
    (tmp_path / "one.yaml").write_text(A)
    (tmp_path / "two.yaml").write_text("# edited\n")
    with pytest.raises(ChangedMeanwhileError) as caught:
        write_specs(tmp_path, {"one.yaml": gone(A), "two.yaml": gone(A), "three.yaml": gone(A)})
    assert caught.value.texts == {"two.yaml": "# edited\n", "three.yaml": None}
    assert sorted(each.name for each in tmp_path.iterdir()) == ["one.yaml", "two.yaml"]


def test_no_link_leads_a_deletion_out(tmp_path: Path):
    outside, specs = tmp_path / "outside", tmp_path / "specs"
    outside.mkdir()
    specs.mkdir()
    (outside / "file.yaml").write_text(A)
    (specs / "first.yaml").write_text(A)
    (specs / "folder").symlink_to(outside)
    (specs / "file.yaml").symlink_to(outside / "file.yaml")
    for name in ("folder/file.yaml", "file.yaml"):
        with pytest.raises(ControlError, match="link"):
            write_specs(specs, {"first.yaml": gone(A), name: gone(A)})
    with pytest.raises(ControlError, match="is not the name of a spec file"):
        write_specs(specs, {"first.yaml": gone(A), "../outside/file.yaml": gone(A)})
    assert (outside / "file.yaml").read_text() == A
    assert sorted(each.name for each in specs.iterdir()) == ["file.yaml", "first.yaml", "folder"]


def test_a_document_that_moves_is_always_in_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    write_specs(tmp_path, {"old.yaml": new(A)})
    there: list[list[str]] = []

    def unlink(name: str, *, dir_fd: int) -> None:
        there.append(sorted(each.name for each in tmp_path.iterdir()))
        remove(name, dir_fd=dir_fd)

    remove = os.unlink
    monkeypatch.setattr("bateau.sources.spec_writing.os.unlink", unlink)
    write_specs(tmp_path, {"old.yaml": gone(A), "renamed.yaml": new(A)})
    assert "renamed.yaml" in there[0]
    assert [each.name for each in tmp_path.iterdir()] == ["renamed.yaml"]
