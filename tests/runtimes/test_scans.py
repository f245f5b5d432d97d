"""Scans of all processes are shared by those who ask at the same time, and never older than the question."""

import asyncio
import threading

import pytest

from bateau.runtimes.local.scans import Scan, Scans
from runtimes.rig import Rig, shell

REPLICAS = 20


class _Counted:
    """Stands in for Scan.now: counts the scans, and holds each until it may end."""

    def __init__(self) -> None:
        self.may_end = threading.Event()
        self.scans: list[Scan] = []

    def __call__(self) -> Scan:
        self.scans.append(scan := Scan(()))
        assert self.may_end.wait(10)
        return scan


async def test_many_replicas_that_stop_together_share_their_scans(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """Issue 8: `down` of 1,000 apps made 2,000 scans of all processes, and took four minutes."""
    runtime, made, original = rig.runtime(), [0], Scan.now

    def counted() -> Scan:
        made[0] += 1
        return original()

    ids = [f"app.a{number}.0" for number in range(REPLICAS)]
    for replica_id in ids:
        await runtime.start(replica_id, "app/a", shell("exec sleep 100"))
    monkeypatch.setattr(Scan, "now", counted)
    await asyncio.gather(*(runtime.stop(replica_id) for replica_id in ids))
    assert rig.pids() == set()
    assert made[0] < REPLICAS


async def test_whoever_asks_during_a_scan_gets_the_next_one(monkeypatch: pytest.MonkeyPatch) -> None:
    counted, scans = _Counted(), Scans()
    monkeypatch.setattr(Scan, "now", counted)
    first = asyncio.create_task(scans.next())
    async with asyncio.timeout(10):
        while not counted.scans:  # noqa: ASYNC110 - it starts in a thread
            await asyncio.sleep(0.001)
    later = [asyncio.create_task(scans.next()) for _ in range(3)]
    await asyncio.sleep(0)
    later[0].cancel()
    counted.may_end.set()
    assert [await first, *[await each for each in later[1:]]] == [counted.scans[0], *[counted.scans[1]] * 2]
    assert len(counted.scans) == 2
