"""A refused start is explained in one sentence, and leaves nothing behind."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from bateau.domain.errors import ReplicaError
from bateau.domain.process import ProcessTemplate
from bateau.domain.replica import ReplicaState
from bateau.runtimes.local import LocalKeeper
from runtimes.rig import Rig, look, shell, until_state, until_true

NOBODY = 65534


def program(*command: str, directory: Path | None = None) -> ProcessTemplate:
    return ProcessTemplate(
        revision="r1", command=command, working_directory=None if directory is None else str(directory)
    )


def executable(path: Path, text: str, mode: int = 0o755) -> str:
    path.write_text(text)
    path.chmod(mode)
    return str(path)


async def check(rig: Rig, runtime: LocalKeeper, template: ProcessTemplate, message: str) -> None:
    """Assert that the start is refused with this message, a hint, and no trace."""
    with pytest.raises(ReplicaError) as refusal:
        await runtime.start("app.a.0", "app/a", template)
    assert refusal.value.message == message
    assert refusal.value.hint
    assert runtime.observe() == []
    assert not rig.record("app.a.0").exists()
    assert rig.pids() == set()


async def test_a_program_that_is_not_there_is_named(rig: Rig) -> None:
    runtime = rig.runtime()
    await check(rig, runtime, program("no-such-program"), "program no-such-program is not on the PATH")
    await check(rig, runtime, program("/no/such/program"), "program /no/such/program does not exist")


async def test_a_file_that_may_not_be_executed_is_named(rig: Rig) -> None:
    path = executable(rig.folder / "tool", "#!/bin/sh\n", mode=0o644)
    await check(rig, rig.runtime(), program(path), f"program {path} is not executable")


async def test_a_folder_is_no_program(rig: Rig) -> None:
    await check(rig, rig.runtime(), program(str(rig.folder)), f"{rig.folder} is a folder, not a program")


async def test_a_script_whose_interpreter_is_missing_is_told_apart_from_a_missing_script(rig: Rig) -> None:
    path = executable(rig.folder / "script", "#!/no/such/interpreter\n")
    message = f"{path} cannot be started: the interpreter or loader that it names does not exist"
    await check(rig, rig.runtime(), program(path), message)


async def test_a_file_of_another_machine_is_named(rig: Rig) -> None:
    path = executable(rig.folder / "alien", "\x00\x01 not ELF")
    await check(rig, rig.runtime(), program(path), f"this machine cannot run {path}: its format is unknown")


async def test_a_working_directory_that_is_missing_or_no_folder_is_named(rig: Rig) -> None:
    runtime, missing, file = rig.runtime(), rig.folder / "missing", rig.folder / "file"
    file.touch()
    await check(rig, runtime, program("true", directory=missing), f"working directory {missing} does not exist")
    await check(rig, runtime, program("true", directory=file), f"working directory {file} is not a folder")
    below = file / "below"
    message = f"working directory {below} cannot be read: Not a directory"
    await check(rig, runtime, program("true", directory=below), message)


@pytest.fixture
def closed_folder() -> Iterator[Path]:
    """Yield a folder that we may not enter, as another user where we are root: root may enter all."""
    top = Path(tempfile.mkdtemp(prefix="bt-"))
    closed = top / "closed"
    closed.mkdir(mode=0)
    user = os.geteuid()
    if user == 0:
        top.chmod(0o711)
        os.seteuid(NOBODY)
    try:
        yield closed
    finally:
        os.seteuid(user)
        closed.chmod(0o700)
        shutil.rmtree(top)


async def test_a_working_directory_that_may_not_be_entered_is_named(closed_folder: Path) -> None:
    folder = Path(tempfile.mkdtemp(prefix="bt-"))
    try:
        rig = Rig(folder, "test-closed")  # belongs to the user that the closed folder is closed to
        runtime = rig.runtime()
        message = f"working directory {closed_folder} cannot be entered: permission denied"
        await check(rig, runtime, program("true", directory=closed_folder), message)
        message = f"working directory {closed_folder}/in cannot be read: Permission denied"
        await check(rig, runtime, program("true", directory=closed_folder / "in"), message)
        await runtime.close()
    finally:
        shutil.rmtree(folder)


async def test_a_socket_path_longer_than_the_kernel_takes_is_refused(rig: Rig) -> None:
    deep = Rig(rig.folder / ("x" * 90), rig.instance)
    runtime = deep.runtime()
    path = deep.folder / "run" / "app.a.0.sock"
    message = f"the socket path {path} has {len(str(path))} bytes, but the kernel allows only 107"
    await check(rig, runtime, shell("true", uses_socket=True), message)
    await runtime.close()


async def test_an_id_that_is_taken_or_no_file_name_is_refused(rig: Rig) -> None:
    runtime = rig.runtime()
    await runtime.start("app.a.0", "app/a", shell("exec sleep 100"))
    with pytest.raises(ReplicaError, match=r"replica app\.a\.0 exists already"):
        await runtime.start("app.a.0", "app/a", shell("exec sleep 100"))
    with pytest.raises(ReplicaError, match="cannot name a replica"):
        await runtime.start("../a", "app/a", shell("exec sleep 100"))
    assert [replica.id for replica in runtime.observe()] == ["app.a.0"]


async def test_a_folder_that_others_may_write_to_is_refused(rig: Rig) -> None:
    (rig.folder / "run").mkdir()
    (rig.folder / "run").chmod(0o777)
    message = f"other users can write to the folder {rig.folder / 'run'}"
    await check(rig, rig.runtime(), program("true"), message)


async def test_a_program_removed_later_is_told_in_back_off(rig: Rig) -> None:
    runtime = rig.runtime()
    path = executable(rig.folder / "tool", "#!/bin/sh\nsleep 0.2\nexit 1\n")
    await runtime.start("app.a.0", "app/a", program(path))
    Path(path).unlink()  # noqa: ASYNC240 - a local file of a few bytes
    await until_state(runtime, "app.a.0", ReplicaState.BACKOFF)
    await until_true(lambda: look(runtime, "app.a.0").reason == f"program {path} does not exist")
    assert look(runtime, "app.a.0").pid is None


async def test_a_replica_sees_our_environment_without_our_own_secrets(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_ours")
    monkeypatch.setenv("BATEAU_ADMIN_KEY", "ours")
    monkeypatch.setenv("NOTIFY_SOCKET", "/run/notify")
    monkeypatch.setenv("FROM_OUTSIDE", "kept")
    runtime = rig.runtime()
    template = shell("env; exec sleep 100", environment={"OWN": "a"})
    await runtime.start("app.a.0", "app/a", replace(template, revision="r7"))
    await until_true(lambda: "OWN" in rig.log("app.a.0").read_text())
    seen = dict(line.split("=", 1) for line in rig.log("app.a.0").read_text().splitlines())
    wanted = {"FROM_OUTSIDE": "kept", "OWN": "a", "BATEAU_REPLICA": "app.a.0"}
    assert {**seen, **wanted, "BATEAU_REVISION": "r7", "BATEAU_INSTANCE": rig.instance} == seen
    assert not {"HF_TOKEN", "BATEAU_ADMIN_KEY", "NOTIFY_SOCKET"} & set(seen)
