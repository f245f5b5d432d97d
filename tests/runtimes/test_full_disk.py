"""A full disk is reported, replicas continue, and all records are written once there is space (A21)."""

import json
from collections.abc import AsyncIterator, Iterable
from pathlib import Path

import pytest
import pytest_asyncio

from bateau.domain.replica import ReplicaState
from bateau.runtimes.local.disk import FREE_BYTES_MIN, shortages
from full_disk import fill, small_disk
from runtimes.rig import Rig, look, server, shell, until, until_state

DISK_MIB = 24


@pytest.fixture(autouse=True)
def _looks_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bateau.runtimes.local.upkeep.LOOK_S", 0.05)


@pytest_asyncio.fixture
async def disk(rig: Rig) -> AsyncIterator[Path]:
    with small_disk(rig.folder / "state", mib=DISK_MIB) as mounted:
        yield mounted
        await rig.end()


def test_a_disk_is_named_by_its_mount_point_with_its_room(tmp_path: Path) -> None:
    with small_disk(tmp_path / "d", mib=DISK_MIB) as disk:
        (disk / "logs").mkdir()
        assert shortages([disk, disk / "logs"]) == ()
        filler = fill(disk)
        assert shortages([disk / "logs", disk]) == (
            f"the disk at {disk}, which holds {disk / 'logs'}, is full: 0 B of {DISK_MIB} MiB are free",
        )
        with filler.open("r+b") as file:
            file.truncate((DISK_MIB - 2) * 2**20)
        (says,) = shortages([disk])
        assert "is almost full: 2 MiB of 24 MiB are free" in says
        filler.unlink()
        assert shortages([disk]) == ()


def test_a_disk_without_an_inode_is_full_too(tmp_path: Path) -> None:
    with small_disk(tmp_path / "d", mib=DISK_MIB, more=",nr_inodes=2") as disk:
        (disk / "last").touch()
        (says,) = shortages([disk])
        assert says.endswith("has no free inode: no file can be created")


def test_a_disk_that_cannot_be_measured_is_not_said_to_be_full(tmp_path: Path) -> None:
    assert shortages([tmp_path / "gone"]) == ()
    assert FREE_BYTES_MIN < DISK_MIB * 2**20


async def test_a_replica_that_becomes_ready_on_a_full_disk_serves_and_is_remembered_later(rig: Rig, disk: Path) -> None:
    """A21: a record that cannot be written is reported, and written as soon as there is room."""
    sick = rig.folder / "sick"
    sick.touch()
    runtime = rig.runtime()
    await runtime.start("app.a.0", "app/a", server(sick=sick))
    filler = fill(disk)
    sick.unlink()
    await until_state(runtime, "app.a.0", ReplicaState.READY)
    await until(runtime, lambda: len(runtime.troubles()) == 2)
    full, record = runtime.troubles()
    assert "is full: 0 B of 24 MiB are free" in full
    assert record.startswith("the record of replica app.a.0 cannot be written to ")
    assert record.endswith("No space left on device")
    assert not json.loads(rig.record("app.a.0").read_text())["ready"]
    filler.unlink()
    await until(runtime, lambda: not runtime.troubles())
    assert json.loads(rig.record("app.a.0").read_text())["ready"]


async def test_a_task_that_ended_on_a_full_disk_is_not_run_again_by_the_next_control_plane(
    rig: Rig, disk: Path
) -> None:
    """A21."""
    runtime = rig.runtime()
    go = rig.folder / "go"
    script = f"while ! test -e {go}; do sleep 0.05; done; echo ran >> {rig.folder}/runs"
    await runtime.start("app.a.0", "app/a", shell(script, restart="never"))
    filler = fill(disk)
    go.touch()
    await until_state(runtime, "app.a.0", ReplicaState.DONE)
    assert runtime.troubles()
    filler.unlink()
    await until(runtime, lambda: not runtime.troubles())
    await runtime.close()
    later = rig.runtime()
    await later.adopt()
    assert look(later, "app.a.0").state is ReplicaState.DONE
    assert (rig.folder / "runs").read_text() == "ran\n"


async def test_a_replica_is_stopped_on_a_full_disk_and_nothing_of_it_is_retried(rig: Rig, disk: Path) -> None:
    """A21."""
    runtime = rig.runtime()
    await runtime.start("app.a.0", "app/a", shell("exec sleep 600"))
    fill(disk)
    await until(runtime, lambda: bool(runtime.troubles()))
    await runtime.stop("app.a.0")
    assert not any("the record of replica" in says for says in runtime.troubles())
    assert not rig.record("app.a.0").exists()
    assert rig.pids() == set()


async def test_a_start_on_a_full_disk_fails_with_the_reason_and_leaves_no_process(rig: Rig, disk: Path) -> None:
    """A21: without a record, nobody would adopt it."""
    runtime = rig.runtime()
    await runtime.start("app.a.0", "app/a", shell("exec sleep 600"))
    filler = fill(disk)
    with pytest.raises(Exception, match="the record of replica"):
        await runtime.start("app.b.0", "app/b", shell("exec sleep 600"))
    assert [replica.id for replica in runtime.observe()] == ["app.a.0"]
    filler.unlink()
    await runtime.start("app.b.0", "app/b", shell("exec sleep 600"))


async def test_a_bug_in_one_look_is_logged_and_the_next_look_works(
    rig: Rig, disk: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    bugs = [ValueError("planted")]

    def planted(folders: Iterable[Path]) -> tuple[str, ...]:
        if bugs:
            raise bugs.pop()
        return shortages(folders)

    monkeypatch.setattr("bateau.runtimes.local.upkeep.shortages", planted)
    runtime = rig.runtime()
    await runtime.start("app.a.0", "app/a", shell("exec sleep 600"))
    fill(disk)
    await until(runtime, lambda: bool(runtime.troubles()))
    assert "planted" in caplog.text
    assert look(runtime, "app.a.0").pid is not None
