"""The history of a cluster: what its controller and its gateways know, and nothing else."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from bateau.control.cluster_status import Namespace, cluster_release, cluster_status
from bateau.control.snapshots import Snapshots
from bateau.domain import measures as m
from bateau.domain.figures import Uses
from bateau.domain.replica import Replica
from bateau.domain.workload import Port, ServiceKey
from bateau.ports.runtime import Observed
from bateau.testing import ManualClock
from bateau.wiring.cluster_measures import ClusterMeasured
from bateau.wiring.paths import Paths
from control.test_cluster_status import FACTS, namespace, pod, workload

CHAT = "model/shop.chat"
MODEL = replace(workload("web"), key=ServiceKey("model/chat"), ports={"http": Port(protocol="openai")})


class View:
    """The view of a cluster, whose gateways and pods a test sets."""

    def __init__(self) -> None:
        self.snapshots = Snapshots()
        self.addresses: tuple[str, ...] = ("10.0.0.1",)
        self.used: Any = None
        self.uses = self
        self.use = Uses(unknown="berlin has no metrics")
        self.counts: tuple[int, ...] | None = (0,)
        self.namespaces: list[Namespace] = []
        self.shows(Observed(replicas=(pod("model/chat"),)))

    @property
    def release(self) -> Any:
        return cluster_release(self.namespaces)

    def shows(self, seen: Observed) -> None:
        self.namespaces = [namespace(MODEL, seen=seen)]
        self.snapshots.take(cluster_status(self.namespaces, FACTS))

    def pods(self) -> Sequence[Replica]:
        latest = self.snapshots.latest
        return [each for service in latest.services for each in service.replicas] if latest else ()

    async def now(self) -> Uses:
        return self.use

    async def pages(self, _path: str) -> Sequence[str | None]:
        if self.counts is None:
            return [None]
        return [f'envoy_bateau_requests{{code="200",route="shop.chat"}} {count}' for count in self.counts]


class Measured:
    """A history that is measured whenever 15 seconds have passed."""

    def __init__(self, folder: Path) -> None:
        self.view = View()
        self.clock = ManualClock(wall=1_800_000_000.0)
        where = Paths(state=folder, runtime=folder, cache=folder)
        self.made = ClusterMeasured(cast("Any", self.view), where, self.clock)

    async def latest(self, *counts: int) -> dict[str, float]:
        """Return the measures after 15 seconds, in which the gateways have counted so many requests each."""
        self.view.counts = counts or None
        self.clock.advance(15.0)
        await self.made.sample()
        now, history = self.clock.wall(), self.made.history
        found = {each.name: history.total(CHAT, each, since=now - 15.0, until=now) for each in m.MEASURES}
        return {name: value for name, value in found.items() if value is not None}


async def test_replicas_are_those_of_the_cluster_and_requests_those_of_its_gateways(tmp_path: Path) -> None:
    measured = Measured(tmp_path)
    try:
        await measured.latest(10)
        found = await measured.latest(40)
        assert (found[m.REPLICAS_READY.name], found[m.REPLICAS_WANTED.name], found[m.REQUESTS.name]) == (1, 1, 30)
        charts = await measured.made.charts.now(CHAT, "hour")
        assert charts
        assert charts.values[m.REQUESTS.name][-1] is not None
        assert set(charts.values[m.MEMORY.name]) == {None}
    finally:
        measured.made.close()


async def test_memory_and_cpu_time_are_those_of_the_pods(tmp_path: Path) -> None:
    measured = Measured(tmp_path)
    try:
        measured.view.use = Uses(memory_bytes={CHAT: 7 * 2**20}, cpu_cores={CHAT: 0.5})
        found = await measured.latest(10)
        assert (found[m.MEMORY.name], found[m.CPU.name]) == (7 * 2**20, 7.5), "half a core, for 15 seconds"
        charts = await measured.made.charts.now(CHAT, "hour")
        assert charts
        assert charts.values[m.MEMORY.name][-1] == 7 * 2**20
        assert charts.values[m.CPU.name][-1] == pytest.approx(0.5), "the chart is in cores"
        measured.view.use = Uses(unknown="metrics.k8s.io gave no answer")
        assert not {m.MEMORY.name, m.CPU.name} & (await measured.latest(10)).keys()
    finally:
        measured.made.close()


async def test_what_a_controller_does_not_know_is_not_in_its_history(tmp_path: Path) -> None:
    measured = Measured(tmp_path)
    try:
        await measured.latest(10)
        known = {m.REPLICAS_READY.name, m.REPLICAS_WANTED.name, m.RESTARTS.name}
        assert not {m.MEMORY.name, m.CPU.name, m.ACTIVE.name} & (await measured.latest(40)).keys()
        assert (await measured.latest()).keys() == known, "no gateway answers"
        await measured.latest(40)
        measured.view.addresses = ("10.0.0.2",)
        assert (await measured.latest(50)).keys() == known, "another gateway has counters of its own"
        measured.view.shows(Observed(unknown="cannot reach berlin"))
        assert await measured.latest(60) == {}, "it is not known what runs"
    finally:
        measured.made.close()


async def test_a_cluster_with_too_many_services_has_no_history(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("bateau.wiring.cluster_measures.SERVICES_MAX", 0)
    measured = Measured(tmp_path)
    try:
        await measured.latest(10)
        assert await measured.latest(40) == {}
    finally:
        measured.made.close()
    assert [each.getMessage() for each in caplog.records] == [
        "no history is kept: the cluster has more than 0 services"
    ]
