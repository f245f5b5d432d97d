"""Properties of every plan, for any desired and any observed replicas."""

from random import Random

from hypothesis import given
from hypothesis import strategies as st

from bateau.domain.replica import Replica, ReplicaState
from bateau.runtimes.local.rolling import next_steps
from bateau.runtimes.local.steps import Desired, Draining
from runtimes.simulation import Simulation
from strategies import SERVICES, desired, draining_of, replicas

ROUNDS = 60


@st.composite
def worlds(draw: st.DrawFn, *, surge: bool = True) -> tuple[Desired, list[Replica], dict[str, Draining]]:
    service = "model/chat" if surge else "gateway/envoy"
    found = draw(replicas(service, most=6 if surge else 2))
    return draw(desired(service, surge=surge)), found, draw(draining_of(found))


@given(worlds())
def test_no_plan_takes_a_ready_replica_from_its_clients_while_too_few_others_are_ready(
    world: tuple[Desired, list[Replica], dict[str, Draining]],
) -> None:
    target, found, draining = world
    simulation = _simulation([target], found, draining)
    ready_before = sum(replica.state is ReplicaState.READY for replica in found)
    simulation.carry_out(simulation.plan())
    assert len(simulation.serving(target.service)) >= min(target.replicas, ready_before)


@given(worlds())
def test_nothing_is_stopped_in_the_middle_of_an_answer(
    world: tuple[Desired, list[Replica], dict[str, Draining]],
) -> None:
    target, found, draining = world
    by_id = {replica.id: replica for replica in found}
    for step in next_steps([target], found, draining):
        if step.act == "stop" and by_id[step.replica].state in (ReplicaState.READY, ReplicaState.UNREADY):
            state = draining[step.replica]
            assert state.in_flight == 0 or state.seconds >= target.drain_timeout_s
            assert state.seconds >= 1.0, "requests in flight appear in the counts within a second"


@given(worlds())
def test_every_step_is_of_a_replica_that_can_take_it(
    world: tuple[Desired, list[Replica], dict[str, Draining]],
) -> None:
    target, found, draining = world
    there = {replica.id: replica for replica in found}
    steps = next_steps([target], found, draining)
    assert len({step.replica for step in steps}) == len(steps), "a replica gets one step at a time"
    for step in steps:
        assert (step.replica not in there) is (step.act == "start")
        if step.act != "start":
            assert there[step.replica].state is not ReplicaState.STOPPING
            assert (step.replica in draining) or step.act in ("drain", "stop")
    started = sum(step.act == "start" for step in steps)
    living = [r for r in found if r.state is not ReplicaState.STOPPING]
    current = [r for r in living if r.revision == target.revision]
    missing = target.replicas - len(current)
    assert started == max(0, min(missing, target.replicas + target.max_surge - len(living)))


@given(worlds(), st.randoms(use_true_random=False))
def test_a_rollout_never_runs_more_replicas_than_the_surge_allows(
    world: tuple[Desired, list[Replica], dict[str, Draining]], chance: Random
) -> None:
    target, found, draining = world
    simulation = _simulation([target], found, draining)
    for _ in range(ROUNDS):
        before = len(simulation.replicas)
        simulation.carry_out(simulation.plan())
        living = [r for r in simulation.replicas.values() if r.state is not ReplicaState.STOPPING]
        assert len(living) <= max(before, target.replicas + target.max_surge)
        _pass_time(simulation, chance)


@given(st.data())
def test_the_order_of_what_is_seen_never_matters(data: st.DataObject) -> None:
    found = [replica for service in SERVICES for replica in data.draw(replicas(service))]
    targets = [
        data.draw(desired(service, surge=service != "gateway/envoy"))
        for service in SERVICES[data.draw(st.integers(0, 2)) :]
    ]
    draining = data.draw(draining_of(found))
    shuffled = data.draw(st.permutations(found))
    assert next_steps(targets, found, draining) == next_steps(data.draw(st.permutations(targets)), shuffled, draining)


@given(worlds(), st.randoms(use_true_random=False))
def test_plans_come_to_an_end_with_what_was_wanted(
    world: tuple[Desired, list[Replica], dict[str, Draining]], chance: Random
) -> None:
    target, found, draining = world
    simulation = _simulation([target], found, draining)
    for _ in range(ROUNDS):
        simulation.carry_out(simulation.plan())
        _pass_time(simulation, chance)
    assert simulation.plan() == ()
    there = list(simulation.replicas.values())
    assert [replica.revision for replica in there] == [target.revision] * target.replicas
    assert len(simulation.serving(target.service)) == target.replicas


@given(worlds(surge=False), st.randoms(use_true_random=False))
def test_what_cannot_run_twice_never_does_and_comes_to_an_end_too(
    world: tuple[Desired, list[Replica], dict[str, Draining]], chance: Random
) -> None:
    target, found, draining = world
    simulation = _simulation([target], found, draining)
    for _ in range(ROUNDS):
        steps = simulation.plan()
        if any(step.act == "start" for step in steps):
            assert not simulation.replicas
        simulation.carry_out(steps)
        _pass_time(simulation, chance)
    assert simulation.plan() == ()
    assert [replica.revision for replica in simulation.replicas.values()] == [target.revision]


@given(st.data())
def test_what_nobody_wants_any_more_goes_and_hinders_nobody(data: st.DataObject) -> None:
    found = [*data.draw(replicas("app/shop")), *data.draw(replicas("model/chat"))]
    target = data.draw(desired("model/chat"))
    draining = data.draw(draining_of(found))
    alone = next_steps([target], [replica for replica in found if replica.service == "model/chat"], draining)
    assert tuple(s for s in next_steps([target], found, draining) if s.service == "model/chat") == alone
    simulation = _simulation([target], found, draining)
    chance = data.draw(st.randoms(use_true_random=False))
    simulation.now += 1000
    for _ in range(ROUNDS):
        simulation.carry_out(simulation.plan())
        _pass_time(simulation, chance)
    assert {replica.service for replica in simulation.replicas.values()} <= {"model/chat"}


def _simulation(targets: list[Desired], found: list[Replica], draining: dict[str, Draining]) -> Simulation:
    simulation = Simulation(now=1000.0)
    simulation.desired = {target.service: target for target in targets}
    simulation.replicas = {replica.id: replica for replica in found}
    simulation.draining_since = {id_: simulation.now - state.seconds for id_, state in draining.items()}
    simulation.in_flight = {id_: state.in_flight for id_, state in draining.items()}
    return simulation


def _pass_time(simulation: Simulation, chance: Random) -> None:
    """Let five seconds pass: replicas get on in their lives, requests end."""
    simulation.now += 5.0
    for replica in list(simulation.replicas.values()):
        if replica.state is ReplicaState.STOPPING:
            simulation.remove(replica.id)
        elif replica.state is ReplicaState.BACKOFF:
            simulation.move(replica.id, ReplicaState.STARTING)
        elif replica.state is not ReplicaState.READY and chance.random() < 0.5:
            simulation.move(replica.id, ReplicaState.READY)
        if count := simulation.in_flight.get(replica.id):
            simulation.in_flight[replica.id] = count - 1
