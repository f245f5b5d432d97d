"""A replica shows which of the files that it was started from have changed on disk since (A17)."""

import json
import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from bateau.domain.process import ProcessTemplate, withheld_word
from bateau.domain.replica import ChangedFile
from bateau.runtimes.local.program_files import changes, marks_of
from runtimes.rig import Rig, look, until

PROGRAM = "import time\ntime.sleep(600)\n"


@pytest.fixture(autouse=True)
def _looks_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bateau.runtimes.local.upkeep.LOOK_S", 0.05)


def template(folder: Path, *command: str) -> ProcessTemplate:
    return ProcessTemplate(
        revision="r1",
        command=command or (sys.executable, "app.py"),
        working_directory=str(folder),
        stop_timeout_s=1.0,
    )


def marked(folder: Path, *command: str) -> list[str]:
    """Return the files of a command below a folder, relative to it."""
    marks = marks_of(command, directory=str(folder), search_path=os.environ["PATH"])
    return sorted(mark.path.removeprefix(f"{folder}/") for mark in marks if mark.path.startswith(str(folder)))


@pytest.mark.parametrize(
    ("command", "files"),
    [
        (("python3", "-u", "app.py", "data.db", "log.txt"), ["app.py"]),
        (("./tool", "--config", "x.yaml"), ["tool"]),
        (("java", "-jar", "shop.jar"), ["shop.jar"]),
        (("python3", "-m", "shop", "--port", "80"), ["shop/__init__.py", "shop/__main__.py"]),
        (("python3", "-m", "shop.web"), ["shop/web.py"]),
        (("serve", "--model", "weights"), ["weights"]),
        (("serve", "--model=chat.gguf"), ["chat.gguf"]),
        (("sh", "-c", "exec python3 app.py", "x" * 5000, "a\0b"), []),
        (("python3", "gone.py", "folder.py"), []),
        ((), []),
    ],
)
def test_programs_scripts_modules_and_models_are_remembered_and_data_is_not(
    tmp_path: Path, command: Sequence[str], files: list[str]
) -> None:
    for name in ("app.py", "data.db", "log.txt", "x.yaml", "tool", "shop.jar", "weights", "chat.gguf"):
        (tmp_path / name).write_text("x")
    (tmp_path / "tool").chmod(0o700)
    (tmp_path / "folder.py").mkdir()
    (tmp_path / "shop").mkdir()
    for name in ("__init__.py", "__main__.py", "web.py"):
        (tmp_path / "shop" / name).write_text("x")
    assert marked(tmp_path, *command) == files


def test_an_edit_a_replacement_and_a_removal_are_told_apart_and_no_content_is_read(tmp_path: Path) -> None:
    names = ("same.py", "edited.py", "replaced.py", "removed.py", "linked.py")
    for name in names[:-1]:
        (tmp_path / name).write_text("x")
    (tmp_path / "v1").write_text("x")
    (tmp_path / "v2").write_text("x")
    (tmp_path / "linked.py").symlink_to("v1")
    marks = marks_of(("sh", *names), directory=str(tmp_path), search_path=os.environ["PATH"])
    assert changes(marks) == ()
    (tmp_path / "edited.py").write_text("y")
    os.utime(tmp_path / "edited.py", ns=(1, 1))  # also within the resolution of the file system's clock
    (tmp_path / "new").write_text("x")
    (tmp_path / "new").replace(tmp_path / "replaced.py")
    (tmp_path / "removed.py").unlink()
    (tmp_path / "linked.py").unlink()
    (tmp_path / "linked.py").symlink_to("v2")
    found = changes(marks)
    assert found is not None
    assert {(Path(each.path).name, each.how) for each in found} == {
        ("edited.py", "edited"),
        ("replaced.py", "replaced"),
        ("removed.py", "removed"),
        ("linked.py", "replaced"),
    }


def test_what_cannot_be_examined_is_unknown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "app.py").write_text("x")
    marks = marks_of(("sh", "app.py"), directory=str(tmp_path), search_path=os.environ["PATH"])

    def refuse(*_: object, **__: object) -> os.stat_result:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "stat", refuse)
    assert changes(marks) is None
    assert changes(None) is None


async def test_a_running_replica_shows_it_also_to_the_next_control_plane_and_a_new_process_clears_it(rig: Rig) -> None:
    """A17."""
    app = rig.folder / "app.py"
    app.write_text(PROGRAM)
    runtime = rig.runtime()
    await runtime.start("app.a.0", "app/a", template(rig.folder))
    assert look(runtime, "app.a.0").changed_files == ()
    new = rig.folder / "new.py"
    new.write_text(PROGRAM)
    new.replace(app)
    expected = (ChangedFile(path=str(app), how="replaced"),)
    await until(runtime, lambda: look(runtime, "app.a.0").changed_files == expected)
    await runtime.close()
    later = rig.runtime()
    await later.adopt()
    await until(later, lambda: look(later, "app.a.0").changed_files == expected)
    await later.stop("app.a.0")
    await later.start("app.a.0", "app/a", template(rig.folder))
    assert look(later, "app.a.0").changed_files == ()


async def test_a_record_of_an_earlier_format_has_no_marks_so_it_is_unknown(rig: Rig) -> None:
    """A17: unknown is not fine."""
    (rig.folder / "app.py").write_text(PROGRAM)
    runtime = rig.runtime()
    await runtime.start("app.a.0", "app/a", template(rig.folder))
    await runtime.close()
    path = rig.record("app.a.0")
    tree = json.loads(path.read_text())
    assert tree["version"] == 3
    path.write_text(json.dumps({**{key: value for key, value in tree.items() if key != "files"}, "version": 2}))
    (rig.folder / "app.py").write_text(f"{PROGRAM}# edited\n")
    later = rig.runtime()
    await later.adopt()
    assert look(later, "app.a.0").pid is not None
    assert look(later, "app.a.0").changed_files is None


async def test_a_path_that_follows_from_env_is_not_stored(rig: Rig) -> None:
    """Records hold no value that follows from `env()`."""
    secret = rig.folder / "hunter2-hunter2"
    secret.mkdir()
    (secret / "app.py").write_text(PROGRAM)
    (rig.folder / "app.py").write_text(PROGRAM)
    word, values = withheld_word("spec.env.AT"), {"spec.env.AT": str(secret)}
    runtime = rig.runtime()
    hidden = replace(template(rig.folder, sys.executable, "app.py"), working_directory=word, withheld=values)
    await runtime.start("app.a.0", "app/a", hidden)
    assert look(runtime, "app.a.0").changed_files is None
    argument = replace(template(rig.folder, sys.executable, "app.py", f"{word}/app.py"), withheld=values)
    await runtime.start("app.b.0", "app/b", argument)
    assert look(runtime, "app.b.0").changed_files == ()
    for replica_id in ("app.a.0", "app.b.0"):
        assert "hunter2" not in rig.record(replica_id).read_text()
