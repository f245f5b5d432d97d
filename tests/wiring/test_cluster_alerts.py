"""The alerts of a cluster: what they depend on, while it can be reached and while it cannot."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from bateau.control.alert_book import GROUP_WAIT_S
from bateau.control.cluster_status import Namespace, cluster_release, cluster_status
from bateau.control.declared import Excepted
from bateau.control.happenings import happenings
from bateau.domain.alert_rules import DAY_S
from bateau.domain.object_state import ObjectState
from bateau.domain.replica import End, ReplicaState
from bateau.domain.status import Status
from bateau.ports.runtime import Observed
from bateau.runtimes.kubernetes.reach import Reach
from bateau.testing import ManualClock
from bateau.wiring.alerts import Alerts
from bateau.wiring.cluster_alert_facts import ClusterFacts
from bateau.wiring.cluster_alerts import _own_state, taken_receivers  # pyright: ignore[reportPrivateUsage]
from bateau.wiring.paths import Paths
from control.test_cluster_status import FACTS, namespace, pod, workload
from wiring.alert_instance import FakeReceiver

NOW_S = 1_800_000_000.0
AWAY = "cannot reach berlin: Connection refused"
DEPLOYMENT = ("apps", "Deployment", "shop", "web")


class Cluster:
    """A cluster in memory, whose services a test sets, with its alerts."""

    def __init__(self, folder: Path, *receivers: FakeReceiver) -> None:
        self.clock = ManualClock(wall=NOW_S)
        self.name = "berlin"
        self.reach = Reach(monotonic=self.clock.monotonic)
        self.is_another = False
        self.found: list[Namespace] = []
        self.status: Status | None = None
        self.trouble: str | None = None
        where = Paths(state=folder, runtime=folder, cache=folder)
        self.alerts = Alerts(where, receivers, clock=self.clock, name="cluster berlin", url=lambda: "http://localhost")
        self.alerts.tell = lambda _: None
        self.alerts.status = lambda: self.status
        self.alerts.sources = ClusterFacts(
            terms=cast("Any", self), release=lambda: cluster_release(self.found), failing=self.alerts.failing
        )

    @property
    def is_read(self) -> bool:
        return self.reach.unreachable is None

    def namespaces(self) -> list[Namespace]:
        return self.found

    def source_trouble(self) -> str | None:
        return self.trouble

    def shows(self, *seen: Observed) -> None:
        """Show the service app/shop.web in these states, one after the other."""
        for each in seen:
            self.found = [namespace(workload("web"), seen=each)]
            before, self.status = self.status, cluster_status(self.found, FACTS)
            for event in happenings(before, self.status, when_s=self.clock.wall()) if before else ():
                self.alerts.emit(event)

    async def after(self, seconds: float) -> list[str]:
        """Let time pass, evaluate and deliver; return the alerts that fire."""
        self.clock.advance(seconds)
        await self.alerts.evaluate()
        self.clock.advance(GROUP_WAIT_S)
        for each in self.alerts.couriers:
            await each.deliver()
        return [each.alert.name for each in self.alerts.board().firing]


def backoff(restarts: int, says: str = "web ended with exit code 3") -> Observed:
    end = End(when_s=NOW_S + restarts, says=says)
    failing = replace(pod("app/web", ReplicaState.BACKOFF, says), restarts=restarts, last_end=end)
    return Observed(replicas=(failing,), moving=frozenset({"app/web"}))


READY = Observed(replicas=(pod("app/web"),))


async def test_replicas_that_end_again_and_again_are_down_and_in_a_restart_loop(tmp_path: Path) -> None:
    cluster = Cluster(tmp_path)
    cluster.shows(READY)
    assert await cluster.after(0) == []
    cluster.shows(*(backoff(number) for number in range(1, 5)))
    assert await cluster.after(0) == ["BateauRestartLoop"]
    assert "exit code 3" in cluster.alerts.board().firing[0].alert.cause
    assert await cluster.after(60) == ["BateauRestartLoop", "BateauServiceDown"]
    cluster.shows(READY)
    assert await cluster.after(600) == []


async def test_a_replica_that_ran_out_of_memory_is_an_alert(tmp_path: Path) -> None:
    cluster = Cluster(tmp_path)
    cluster.shows(READY, backoff(1, "web ran out of memory, and was killed"))
    assert await cluster.after(10) == ["BateauOutOfMemory"]


async def test_a_service_whose_images_are_fetched_is_not_down(tmp_path: Path) -> None:
    cluster = Cluster(tmp_path)
    cluster.shows(Observed(replicas=(pod("app/web", ReplicaState.STARTING),), moving=frozenset({"app/web"})))
    assert await cluster.after(300) == []
    assert await cluster.after(300) == []


async def test_a_service_that_cannot_be_observed_is_neither_down_nor_up(tmp_path: Path) -> None:
    cluster = Cluster(tmp_path)
    unknown = Observed(unknown="berlin: the watch of pods is forbidden")
    cluster.shows(READY, unknown)
    await cluster.after(0)
    assert await cluster.after(600) == []
    cluster.shows(backoff(0))
    await cluster.after(0)
    assert await cluster.after(60) == ["BateauServiceDown"]
    cluster.shows(unknown)
    assert await cluster.after(600) == ["BateauServiceDown"]


async def test_a_replica_that_no_node_takes_is_an_alert_with_the_reason(tmp_path: Path) -> None:
    cluster = Cluster(tmp_path)
    waits = pod("app/web", ReplicaState.STARTING, "not scheduled: 0/3 nodes have enough memory")
    cluster.shows(Observed(replicas=(waits,), moving=frozenset({"app/web"})))
    await cluster.after(0)
    assert set(await cluster.after(300)) == {"BateauServiceDown", "BateauUnschedulable"}
    (mine,) = (each.alert for each in cluster.alerts.board().firing if each.alert.name == "BateauUnschedulable")
    assert mine.cause == "shop/app/web-1: not scheduled: 0/3 nodes have enough memory"


async def test_a_deployment_that_fails_is_an_alert_with_the_reason(tmp_path: Path) -> None:
    cluster = Cluster(tmp_path)
    failed = ObjectState(key=DEPLOYMENT, service="app/web", phase="failed", says="exceeded its progress deadline")
    cluster.shows(READY, replace(READY, objects=(failed,)))
    await cluster.after(0)
    assert await cluster.after(60) == ["BateauRolloutFailed"]
    assert "exceeded its progress deadline" in cluster.alerts.board().firing[0].alert.cause


async def test_a_rollback_that_is_kept_for_a_day_is_an_alert_until_it_ends(tmp_path: Path) -> None:
    cluster = Cluster(tmp_path)

    def holds(pins: dict[str, int]) -> None:
        cluster.shows(READY)
        (one,) = cluster.found
        assert one.declared
        cluster.found = [replace(one, declared=replace(one.declared, pins=pins))]

    holds({"app/web": 7})
    assert await cluster.after(0) == []
    assert await cluster.after(DAY_S - 60) == []
    assert await cluster.after(60) == ["BateauRevisionHeld"]
    (alert,) = (each.alert for each in cluster.alerts.board().firing)
    assert (alert.service, alert.says) == ("app/shop.web", "it is held at revision 7")
    holds({})
    (one,) = cluster.found
    assert one.declared
    cluster.found = [replace(one, declared=replace(one.declared, wrong="shop.yaml:3:1: expected a number"))]
    assert await cluster.after(600) == ["BateauRevisionHeld"], "with errors in the specs, nobody knows"
    holds({})
    assert await cluster.after(600) == []


async def test_drift_that_stays_is_an_alert_and_that_of_an_autoscaler_is_none(tmp_path: Path) -> None:
    cluster = Cluster(tmp_path)
    drift = (("spec.replicas", "kube-controller-manager"), ("spec.paused", "kubectl-edit"))
    cluster.shows(
        replace(READY, objects=(ObjectState(key=DEPLOYMENT, service="app/web", phase="current", drift=drift),))
    )
    await cluster.after(0)
    assert await cluster.after(300) == ["BateauObjectsDrifted"]
    assert cluster.alerts.board().firing[0].alert.says == "Deployment web: spec.paused by kubectl-edit"
    cluster.shows(READY)
    assert await cluster.after(0) == []


async def test_documents_that_are_rejected_and_a_source_that_fails_are_alerts(tmp_path: Path) -> None:
    cluster = Cluster(tmp_path)
    cluster.shows(READY)
    cluster.trouble = "the registry answers 503"
    cluster.found[0] = replace(cluster.found[0], trouble="app/web: spec.replicas: a whole number was expected")
    cluster.status = cluster_status(cluster.found, FACTS)
    await cluster.after(0)
    assert set(await cluster.after(120)) == {"BateauSourceFailed", "BateauSpecsRejected"}


async def test_an_exception_from_a_policy_that_ends_is_an_alert(tmp_path: Path) -> None:
    cluster = Cluster(tmp_path)
    cluster.shows(READY)
    soon = Excepted(policy="no-latest", owner="app/web", until="2027-01-18", reason="until it is built again")
    late = replace(soon, policy="other", until="2027-03-01")
    (one,) = cluster.found
    assert one.declared
    cluster.found = [replace(one, name=name, declared=replace(one.declared, exceptions=(soon, late))) for name in "ab"]
    assert await cluster.after(0) == ["BateauExceptionEnds"]
    says = cluster.alerts.board().firing[0].alert.says
    assert says == "that of app/web holds until 2027-01-18 (until it is built again)"


async def test_while_a_cluster_is_away_no_other_alert_begins_or_ends(tmp_path: Path) -> None:
    hook = FakeReceiver()
    cluster = Cluster(tmp_path, hook)
    cluster.shows(READY)
    cluster.trouble = "the registry answers 503"
    await cluster.after(0)
    assert await cluster.after(120) == ["BateauSourceFailed"]
    cluster.reach.failed(AWAY, is_sure=True)
    cluster.trouble = None
    cluster.shows(Observed(unknown=AWAY))
    assert await cluster.after(3600) == ["BateauClusterUnreachable", "BateauSourceFailed"]
    first = cluster.alerts.board().firing[0].alert
    assert (first.subject, first.cause) == ("cluster berlin", AWAY)
    cluster.reach.answered()
    cluster.shows(READY)
    assert await cluster.after(0) == []
    assert hook.told[:2] == [("BateauSourceFailed", "firing"), ("BateauClusterUnreachable", "firing")]
    assert sorted(hook.told[2:]) == [("BateauClusterUnreachable", "resolved"), ("BateauSourceFailed", "resolved")]


async def test_a_controller_that_waits_delivers_nothing_of_another(tmp_path: Path) -> None:
    hook = FakeReceiver()
    cluster = Cluster(tmp_path, hook)
    cluster.shows(READY)
    cluster.trouble = "the registry answers 503"
    await cluster.after(0)
    await cluster.after(120)
    cluster.reach.failed(AWAY, is_sure=True)
    await cluster.after(0)
    cluster.reach.answered()
    cluster.is_another = True
    assert await cluster.after(600) == []
    assert hook.told[2:] == [("BateauClusterUnreachable", "resolved")], "the other one tells of the rest"
    cluster.is_another = False
    await cluster.after(0)
    assert await cluster.after(120) == ["BateauSourceFailed"]
    assert hook.told[3:] == [("BateauSourceFailed", "firing")], "it acts again, and has told nobody of this one"


def test_two_controllers_keep_their_state_apart(tmp_path: Path) -> None:
    def settings(name: str) -> Any:
        environ = {"XDG_STATE_HOME": str(tmp_path)}
        access = SimpleNamespace(name="arn:aws:eks:eu:1:cluster/shop")
        return SimpleNamespace(
            access=access, namespace="own", directory=tmp_path / name, environ=environ, identity=name
        )

    first, lock = _own_state(settings("first"))
    assert lock
    second, none = _own_state(settings("second"))
    assert none is None
    assert first.state != second.state
    assert first.state == tmp_path / "bateau/controllers/arn-aws-eks-eu-1-cluster-shop-own"
    lock.close()


def test_no_child_inherits_a_receiver() -> None:
    environ = {"BATEAU_ALERTS_WEBHOOK_URL": "http://127.0.0.1:9/hook", "PATH": "/bin"}
    (made,) = taken_receivers(environ)
    assert made.name == "webhook"
    assert environ == {"PATH": "/bin"}
