"""A rollout ends when everything is healthy, when something stays broken, or when time is up."""

from collections.abc import Collection, Sequence
from dataclasses import replace

import pytest

from bateau.control import rollout
from bateau.control.rollout import Outcome, roll_out, troubles_of
from bateau.domain.manifest import Manifest
from bateau.domain.object_state import ObjectState
from bateau.domain.process import ProcessTemplate
from bateau.domain.replica import Replica, ReplicaState
from bateau.domain.unit import Objects, Unit
from bateau.domain.workload import ServiceKey
from bateau.ports.runtime import Observed
from bateau.testing import FakeRuntime, ManualClock

UNIT = Unit(key=ServiceKey.of("App", "shop"), target="process", body=ProcessTemplate(revision="1", command=("x",)))
KEY = ("apps", "Deployment", "prod", "shop")


class Stuck(FakeRuntime):
    """A runtime whose state is given, and whose clock moves at every look."""

    def __init__(self, clock: ManualClock, states: Sequence[Observed]) -> None:
        super().__init__()
        self._clock = clock
        self._states = list(states)
        self.applied: list[Unit] = []

    def apply(self, units: Sequence[Unit], *, held: Collection[str] = ()) -> None:
        self.applied += (each for each in units if each.key not in held)

    def observe(self) -> Observed:
        self._clock.advance(5.0)
        return self._states.pop(0) if len(self._states) > 1 else self._states[0]


async def _rolled(states: Sequence[Observed], *, timeout_s: float = 600.0) -> tuple[Outcome, int]:
    clock = ManualClock()
    told: list[Observed] = []
    outcome = await roll_out(Stuck(clock, states), [UNIT], clock, timeout_s=timeout_s, told=told.append)
    return outcome, len(told)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rollout, "_LOOK_S", 0.001)


MOVING = Observed(moving=frozenset({"app/shop"}))
REFUSED = ObjectState(key=KEY, service="app/shop", phase="refused", says="no such field")


async def test_a_healthy_rollout_ends_at_once() -> None:
    outcome, looks = await _rolled([MOVING, Observed()])
    assert outcome.done
    assert looks == 2


async def test_a_trouble_that_passes_is_waited_for() -> None:
    refused = replace(MOVING, objects=(REFUSED,))
    outcome, _ = await _rolled([refused, refused, MOVING, refused, MOVING, Observed()])
    assert outcome.done


async def test_a_trouble_that_stays_ends_it_before_time_is_up() -> None:
    outcome, looks = await _rolled([replace(MOVING, objects=(REFUSED,))])
    assert outcome.failed == {"app/shop": "Deployment prod/shop: no such field"}
    assert looks < 10


async def test_a_slow_rollout_ends_when_time_is_up() -> None:
    outcome, looks = await _rolled([MOVING], timeout_s=60)
    assert outcome.failed == {"app/shop": "it was not healthy in time"}
    assert looks == 12


async def test_a_site_that_is_away_ends_it_with_the_reason() -> None:
    outcome, _ = await _rolled([replace(MOVING, unknown="cannot reach berlin")])
    assert outcome.unknown == "cannot reach berlin"
    assert not outcome.done
    assert outcome.failed == {}


DEPLOYMENT = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "shop", "namespace": "prod"}}
INGRESS = {"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": {"name": "shop", "namespace": "prod"}}
IN_WAVES = Unit(
    key=UNIT.key,
    target="kubernetes",
    body=Objects(
        manifests=tuple(
            Manifest(service="app/shop", target="kubernetes", tree=tree, origins={}) for tree in (DEPLOYMENT, INGRESS)
        )
    ),
)


class Waves(Stuck):
    """Records what is applied and held with it."""

    def __init__(self, clock: ManualClock, states: Sequence[Observed]) -> None:
        super().__init__(clock, states)
        self.waves: list[tuple[list[str], set[str]]] = []

    def apply(self, units: Sequence[Unit], *, held: Collection[str] = ()) -> None:
        kinds = [each.key[1] for unit in units if isinstance(unit.body, Objects) for each in unit.body.manifests]
        self.waves.append((kinds, set(held)))


async def _in_waves(*states: Observed) -> tuple[Outcome, Waves]:
    clock = ManualClock()
    runtime = Waves(clock, states)
    outcome = await roll_out(
        runtime, [IN_WAVES], clock, timeout_s=600.0, told=lambda _: None, existing=["app/shop", "app/former"]
    )
    return outcome, runtime


async def test_the_gateway_comes_after_healthy_workloads_and_removals_come_last() -> None:
    new = ObjectState(key=KEY, service="app/shop", phase="waiting")
    starting, healthy = replace(new, phase="in progress"), replace(new, phase="current")
    states = (replace(MOVING, objects=(each,)) for each in (new, starting, healthy))
    outcome, runtime = await _in_waves(*states, Observed())
    assert outcome.done
    assert runtime.waves == [
        (["Deployment"], {"app/shop", "app/former"}),
        (["Deployment", "Ingress"], set()),
    ]


async def test_a_failed_wave_stops_those_after_it() -> None:
    failed = ObjectState(key=KEY, service="app/shop", phase="failed", says="too late")
    outcome, runtime = await _in_waves(replace(MOVING, objects=(failed,)))
    assert outcome.failed == {"app/shop": "Deployment prod/shop: too late"}
    assert outcome.not_applied == ["the gateway"]
    assert len(runtime.waves) == 1


def test_the_reason_is_that_of_the_pod_where_there_is_one() -> None:
    pod = Replica(
        id="prod/shop-1", service="app/shop", revision="1", state=ReplicaState.BACKOFF, pid=None, reason="no such image"
    )
    late = ObjectState(key=KEY, service="app/shop", phase="failed", says="deadline exceeded")
    assert troubles_of(replace(MOVING, objects=(late,), replicas=(pod,))) == {"app/shop": "prod/shop-1: no such image"}
    # A pod of a service that is healthy as a whole is no trouble.
    assert troubles_of(Observed(replicas=(pod,))) == {}


async def test_a_replica_that_dies_soon_after_its_start_is_not_healthy() -> None:
    """Without a probe, a container is ready as soon as it runs."""
    starting = Replica(id="prod/shop-1", service="app/shop", revision="1", state=ReplicaState.STARTING, pid=None)
    ready, dead = (replace(starting, state=state) for state in (ReplicaState.READY, ReplicaState.BACKOFF))
    states = [
        replace(MOVING, replicas=(starting,)),
        Observed(replicas=(ready,)),
        replace(MOVING, replicas=(dead,)),
    ]
    outcome, _ = await _rolled(states)
    assert outcome.failed == {"app/shop": "prod/shop-1: BackOff"}
    outcome, looks = await _rolled([*states[:2], Observed(replicas=(ready,))])
    assert (outcome.done, looks) == (True, 3)
