"""A rollout ends when everything is healthy, when something stays broken, or when time is up."""

from collections.abc import Collection, Sequence
from dataclasses import replace

import pytest

from bateau.control import rollout
from bateau.control.rollout import Outcome, roll_out, troubles_of
from bateau.domain.object_state import ObjectState
from bateau.domain.process import ProcessTemplate
from bateau.domain.replica import Replica, ReplicaState
from bateau.domain.unit import Unit
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


def test_the_reason_is_that_of_the_pod_where_there_is_one() -> None:
    pod = Replica(
        id="prod/shop-1", service="app/shop", revision="1", state=ReplicaState.BACKOFF, pid=None, reason="no such image"
    )
    late = ObjectState(key=KEY, service="app/shop", phase="failed", says="deadline exceeded")
    assert troubles_of(replace(MOVING, objects=(late,), replicas=(pod,))) == {"app/shop": "prod/shop-1: no such image"}
    # A pod of a service that is healthy as a whole is no trouble.
    assert troubles_of(Observed(replicas=(pod,))) == {}
