"""Locks between processes: held until released, and void on a file that was removed."""

import fcntl
from pathlib import Path

import pytest

from bateau.sources.lock import held, tried


def ignore() -> None:
    """Wait silently."""


async def test_the_lock_is_held_once_and_its_file_is_removed_by_its_holder(tmp_path: Path) -> None:
    path = tmp_path / "m.lock"
    async with held(path, while_waiting=ignore):
        with tried(path) as second:
            assert not second
        assert path.exists(), "whoever does not hold the lock leaves the file"
    assert not path.exists()
    with tried(path) as now:
        assert now
    assert not path.exists()


def test_a_lock_on_a_removed_file_is_not_held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "m.lock"
    flock = fcntl.flock

    def after_another(descriptor: int, operation: int) -> None:
        path.unlink()
        path.touch()
        flock(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", after_another)
    before = len(list(Path("/proc/self/fd").iterdir()))
    with tried(path) as is_held:
        assert not is_held
    assert len(list(Path("/proc/self/fd").iterdir())) == before
