"""The number of replicas follows the load: a model sleeps, wakes, makes room for others, and grows."""

from typing import Any

from bateau.control.room import TURN_S
from bateau.control.scaling import BUSY_S
from bateau.domain.endpoint import Backend
from bateau.domain.replica import ReplicaState
from bateau.domain.status import ServiceState
from bateau.testing.source import model_file
from bateau.traffic.envoy.clusters import cluster
from control.world import SOURCE, World, app, external, model, world

KEY = "model/chat"
OTHER = "hf://org/repo/other.gguf"


def sleepy(name: str = "chat", *, source: str = SOURCE, most: int = 1, least: int = 0, **spec: Any) -> str:
    """Return the document of a model that may sleep."""
    return model(name, source=source, scale={"min": least, "max": most, "idleAfter": "60s"}, **spec)


def held(w: World, key: str = KEY) -> bool:
    """Whether the gateway holds the requests for a model."""
    return w.backend(key).hold is not None


async def ask(w: World, key: str = KEY) -> None:
    """Have a request wait for a model that sleeps."""
    generation = w.backend(key).generation
    assert generation is not None
    w.plane.asked[key] = generation
    w.plane.change()


async def awake(w: World, key: str = KEY) -> None:
    """Wake a model, and return when the gateway has its replica."""
    await w.until(lambda: held(w, key))
    await ask(w, key)
    await w.until(lambda: w.backend(key).endpoints)


def said(w: World, key: str = KEY) -> str:
    """Return what a request that may not wait is told."""
    hold = w.backend(key).hold
    assert hold
    return hold.says


def leaving(w: World, key: str = KEY) -> list[Backend]:
    return [each for each in w.plane.traffic.backends if each.service == key and each.protocol == "leaving"]


async def test_a_model_that_may_sleep_is_neither_fetched_nor_started_before_a_request() -> None:
    async with world(chat=sleepy()) as w:
        w.source.files.clear()
        await w.until(lambda: held(w))
        await w.turns()
        assert (w.source.fetched, w.replicas()) == ([], {})
        assert (w.service().state, w.service().replicas_wanted) == (ServiceState.ASLEEP, 0)
        assert w.status.settled
        assert w.control.rolled_out


async def test_a_request_has_the_model_fetched_and_started_and_is_let_through_when_it_is_ready() -> None:
    async with world(chat=sleepy()) as w:
        w.source.files.clear()
        await w.until(lambda: held(w))
        w.keeper.hold = True
        await ask(w)
        await w.until(lambda: w.source.fetched == [SOURCE])
        assert w.service().state is ServiceState.PULLING
        assert "fetched" in said(w)
        w.source.arrive(SOURCE)
        await w.until(w.replicas)
        await w.turns()
        assert held(w)
        assert (w.service().state, said(w)) == (ServiceState.STARTING, "it starts")
        w.keeper.become_ready("model.chat.0")
        await w.until(lambda: w.backend().endpoints)
        assert not held(w)
        assert w.service().state is ServiceState.READY


async def test_a_model_falls_asleep_only_after_the_gateway_holds_its_requests() -> None:
    async with world(chat=sleepy()) as w:
        await awake(w)
        w.plane.asked.clear()
        await w.pass_time(59.0)
        await w.turns()
        assert not held(w)
        before = w.backend().generation or 0
        w.journal.clear()
        await w.pass_time(2.0)
        await w.until(lambda: held(w))
        assert w.backend().generation == before + 1
        await w.until(lambda: w.draining)
        # First the requests are held while the replica still takes those that are on their way, then it drains.
        assert w.journal[:2] == ["publish [model.chat.0]", "publish [model.chat.0 draining]"]
        await w.pass_time(2.0)
        await w.until(lambda: not w.replicas())
        assert w.service().state is ServiceState.ASLEEP
        assert "no request for 6" in (w.service().reason or "")


async def test_the_replicas_of_a_model_that_falls_asleep_keep_the_cluster_that_sends_them_requests() -> None:
    async with world(chat=sleepy()) as w:
        await awake(w)
        generation = w.backend().generation
        w.plane.asked.clear()
        await w.pass_time(61.0)
        await w.until(lambda: leaving(w))
        assert [each.generation for each in leaving(w)] == [generation]
        assert leaving(w)[0].endpoints


async def test_a_model_that_answers_for_another_keeps_its_cluster_when_it_falls_asleep() -> None:
    async with world(chat=sleepy(), first=external("first", fallback="chat")) as w:
        await awake(w)
        before = w.backend()
        assert before.answers_for_others
        await w.pass_time(61.0)
        await w.until(lambda: leaving(w))
        assert cluster(leaving(w)[0]) == cluster(before)


async def test_a_model_that_answers_for_another_keeps_its_cluster_until_it_is_drained_when_it_is_deleted() -> None:
    async with world(chat=model(), first=external("first", fallback="chat")) as w:
        await w.until(lambda: w.backend().endpoints)
        before = w.backend()
        w.plane.in_flight = {"model.chat.0": 1}
        w.texts.write("first", external("first"))
        w.texts.remove("chat")
        await w.until(lambda: leaving(w))
        assert cluster(leaving(w)[0]) == cluster(before)


async def test_a_model_in_use_does_not_fall_asleep() -> None:
    async with world(chat=sleepy()) as w:
        await awake(w)
        w.plane.in_flight = {"model.chat.0": 1}
        for _ in range(5):
            await w.pass_time(50.0)
        assert not held(w)
        w.plane.in_flight = {}
        for count in range(5):  # requests that are over before the load is measured
            w.plane.taken = {"model.chat.0": count}
            await w.pass_time(50.0)
        assert not held(w)


async def test_a_model_whose_load_is_unknown_stays_awake() -> None:
    async with world(chat=sleepy()) as w:
        await awake(w)
        w.plane.in_flight = None
        await w.pass_time(1000.0)
        await w.turns()
        assert not held(w)
        assert w.replicas()


async def test_a_request_wakes_a_model_that_has_not_drained_yet_at_once() -> None:
    async with world(chat=sleepy()) as w:
        await awake(w)
        w.plane.asked.clear()
        w.plane.in_flight = {"model.chat.0": 0}
        await w.pass_time(61.0)
        await w.until(lambda: w.draining)
        w.journal.clear()
        await ask(w)
        await w.until(lambda: not held(w))
        await w.until(lambda: not w.draining)
        assert "stop model.chat.0" not in w.journal
        assert [each.replica for each in w.backend().endpoints if not each.draining] == ["model.chat.0"]
        # It may still have requests of the generation before, which are counted as long as it runs.
        assert [each.generation for each in leaving(w)] == [0]


async def test_a_model_that_cannot_start_ends_the_wait() -> None:
    async with world(chat=sleepy()) as w:
        await w.until(lambda: held(w))
        w.keeper.hold = True
        await ask(w)
        await w.until(w.replicas)
        await w.pass_time(0.1)
        w.keeper.crash("model.chat.0", "exited with code 1")
        await w.until(lambda: not held(w))
        assert (w.service().state, w.service().reason) == (ServiceState.FAILED, "exited with code 1")


async def test_a_generation_survives_a_restart_of_the_control_plane() -> None:
    async with world(chat=sleepy()) as w:
        await awake(w)
        w.plane.asked.clear()
        await w.pass_time(61.0)
        await w.until(lambda: held(w))
        generation = w.backend().generation
        await w.pass_time(2.0)
        await w.until(lambda: not w.replicas())
        await w.restart()
        await w.until(lambda: w.plane.published)
        assert (w.backend().generation, held(w)) == (generation, True)


async def test_a_running_replica_is_adopted_awake() -> None:
    async with world(chat=sleepy()) as w:
        await awake(w)
        generation = w.backend().generation
        w.plane.asked.clear()
        await w.restart()
        await w.until(lambda: w.backend().endpoints)
        assert (w.backend().generation, held(w)) == (generation, False)
        assert list(w.replicas()) == ["model.chat.0"]


async def test_a_later_generation_that_is_asked_for_is_taken_over() -> None:
    async with world(chat=sleepy()) as w:
        await w.until(lambda: held(w))
        w.plane.asked[KEY] = 7
        w.plane.change()
        await w.until(lambda: w.backend().endpoints)
        assert w.backend().generation == 7


async def test_two_models_that_fit_only_one_at_a_time_both_wake() -> None:
    async with world(chat=sleepy(), other=sleepy("other", source=OTHER)) as w:
        w.source.files[OTHER] = model_file(OTHER)
        w.memory_bytes = 800 * 2**20
        await awake(w)
        w.plane.asked.clear()
        await w.pass_time(5.0)
        for wakes, sleeps in (("model/other", KEY), (KEY, "model/other"), ("model/other", KEY)):
            assert held(w, wakes)
            await ask(w, wakes)
            await w.until(lambda sleeps=sleeps: held(w, sleeps))
            assert len({*w.replicas(KEY), *w.replicas("model/other")}) == 1
            await w.pass_time(2.0)
            await w.until(lambda wakes=wakes: w.backend(wakes).endpoints)
            w.plane.asked.clear()
            await w.pass_time(5.0)
            assert "made room for" in (w.service(sleeps).reason or "")
            assert not w.replicas(sleeps)


async def test_a_model_in_use_makes_room_after_its_turn_and_finishes_its_requests() -> None:
    async with world(chat=sleepy(), other=sleepy("other", source=OTHER)) as w:
        w.source.files[OTHER] = model_file(OTHER)
        w.memory_bytes = 800 * 2**20
        await awake(w)
        w.plane.asked.clear()
        w.plane.in_flight = {"model.chat.0": 2}
        await w.pass_time(5.0)
        await ask(w, "model/other")
        await w.turns()
        assert not held(w)
        assert "memory" in (w.service("model/other").reason or "")
        await w.pass_time(TURN_S)
        await w.until(lambda: held(w))
        await w.turns()
        assert w.replicas()  # two requests are in flight
        w.plane.in_flight = {}
        await w.pass_time(2.0)
        await w.until(lambda: w.backend("model/other").endpoints)


async def test_a_model_that_may_not_sleep_makes_no_room() -> None:
    async with world(chat=sleepy(least=1), other=sleepy("other", source=OTHER)) as w:
        w.source.files[OTHER] = model_file(OTHER)
        w.memory_bytes = 800 * 2**20
        await w.until(lambda: w.backend().endpoints)
        await ask(w, "model/other")
        await w.pass_time(100.0)
        await w.turns()
        assert w.backend().endpoints
        assert held(w, "model/other")
        assert "it waits for memory: it needs" in (w.service("model/other").reason or "")


async def test_replicas_are_added_while_requests_wait_for_a_slot_and_removed_after_a_calm_time() -> None:
    async with world(chat=sleepy(least=1, most=3, parallel=2)) as w:
        await w.until(lambda: w.backend().endpoints)
        w.plane.in_flight = {"model.chat.0": 5}
        await w.turn()
        assert len(w.replicas()) == 1
        await w.pass_time(BUSY_S)
        await w.until(lambda: len(w.replicas()) == 2)
        assert w.service().reason == "5 requests for 2 slots: 2 replicas"
        await w.turn()
        await w.pass_time(BUSY_S)
        await w.until(lambda: len(w.replicas()) == 3)
        await w.turn()
        await w.pass_time(10 * BUSY_S)
        assert len(w.replicas()) == 3
        w.plane.in_flight = {"model.chat.0": 1}
        await w.turn()
        await w.pass_time(59.0)
        assert not w.draining
        await w.pass_time(1.0)
        await w.until(lambda: w.draining == ["model.chat.2"])
        await w.pass_time(61.0)
        await w.pass_time(61.0)
        await w.pass_time(2.0)
        await w.until(lambda: list(w.replicas()) == ["model.chat.0"])


async def test_a_burst_that_is_over_soon_adds_no_replica() -> None:
    async with world(chat=sleepy(least=1, most=3, parallel=2)) as w:
        await w.until(lambda: w.backend().endpoints)
        for _ in range(4):
            w.plane.in_flight = {"model.chat.0": 5}
            await w.pass_time(BUSY_S / 2)
            w.plane.in_flight = {"model.chat.0": 1}
            await w.pass_time(BUSY_S / 2)
        assert len(w.replicas()) == 1


async def test_a_replica_that_would_not_fit_is_not_added() -> None:
    async with world(chat=sleepy(least=1, most=3, parallel=2)) as w:
        w.memory_bytes = 600 * 2**20
        await w.until(lambda: w.backend().endpoints)
        w.plane.in_flight = {"model.chat.0": 5}
        await w.turn()
        await w.pass_time(BUSY_S)
        await w.turns()
        assert len(w.replicas()) == 1
        assert "5 requests for 2 slots, but it waits for memory" in (w.service().reason or "")


async def test_scaling_does_not_replace_the_replicas_that_run() -> None:
    async with world(chat=sleepy(least=1, most=4, parallel=1)) as w:
        await w.until(lambda: w.backend().endpoints)
        before = w.replicas()["model.chat.0"].revision
        w.plane.in_flight = {"model.chat.0": 5}
        await w.turn()
        await w.pass_time(BUSY_S)
        await w.until(lambda: len(w.replicas()) == 2)
        assert {each.revision for each in w.replicas().values()} == {before}


async def test_a_model_may_begin_and_cease_to_sleep_by_a_change_of_its_spec() -> None:
    async with world(chat=model(), shop=app()) as w:
        await w.until(lambda: w.backend().endpoints)
        assert w.backend().generation is None
        w.texts.write("chat", sleepy())
        await w.until(lambda: w.backend().generation is not None)
        assert not held(w)
        await w.turn()
        await w.pass_time(61.0)
        await w.until(lambda: held(w))
        await w.pass_time(2.0)
        await w.until(lambda: not w.replicas())
        w.texts.write("chat", model())
        await w.until(lambda: w.backend().endpoints)
        assert w.backend().generation is None
        assert w.service().state is ServiceState.READY


async def test_a_deleted_model_that_sleeps_is_gone() -> None:
    async with world(chat=sleepy(), shop=app()) as w:
        await w.until(lambda: held(w))
        w.texts.remove("chat")
        await w.until(lambda: all(each.service != KEY for each in w.plane.traffic.backends))
        assert [each.service for each in w.status.services] == ["app/shop"]


async def test_a_replica_that_dies_while_it_is_awake_is_restarted_as_any_other() -> None:
    async with world(chat=sleepy()) as w:
        await awake(w)
        w.plane.asked.clear()
        w.keeper.crash("model.chat.0", "exited with code 1")
        await w.until(lambda: w.service().state is ServiceState.FAILED)
        assert not held(w)
        w.keeper.restart("model.chat.0")
        await w.until(lambda: w.replicas()["model.chat.0"].state is ReplicaState.READY)


async def test_a_model_that_is_deleted_while_it_is_awake_drains_in_the_cluster_that_sends_it_requests() -> None:
    async with world(chat=sleepy(), shop=app()) as w:
        await awake(w)
        generation = w.backend().generation
        w.plane.in_flight = {"model.chat.0": 1}
        w.texts.remove("chat")
        await w.until(lambda: w.draining)
        assert [(each.protocol, each.generation) for each in leaving(w)] == [("leaving", generation)]
        w.plane.in_flight = {}
        await w.pass_time(2.0)
        await w.until(lambda: not w.replicas())


async def test_a_queue_bounds_the_requests_of_all_replicas_that_there_may_be() -> None:
    queue = {"min": 1, "max": 3, "queue": {"max": 5}}
    async with world(chat=model(parallel=2, scale=queue), other=model("other", scale={"min": 1})) as w:
        await w.until(lambda: w.backend().endpoints)
        assert w.backend().requests_max == 2 * 3 + 5
        assert w.backend("model/other").requests_max is None


async def test_a_model_that_cannot_fit_needs_no_memory() -> None:
    async with world(chat=sleepy(), huge=sleepy("huge", source=OTHER, contextLength=100_000)) as w:
        w.source.files[OTHER] = model_file(OTHER)
        w.memory_bytes = 800 * 2**20
        await w.until(lambda: held(w, "model/huge"))
        await ask(w, "model/huge")
        await w.pass_time(0.1)
        await w.until(lambda: not held(w, "model/huge"))
        assert w.service("model/huge").state is ServiceState.FAILED
        await awake(w)
        assert w.service().state is ServiceState.READY


async def test_requests_in_flight_are_counted_after_a_model_may_no_longer_sleep() -> None:
    for spec in (sleepy(least=1), model()):
        async with world(chat=sleepy()) as w:
            await awake(w)
            generation = w.backend().generation
            w.texts.write("chat", spec)
            await w.until(lambda w=w: w.backend().generation is None)
            assert [each.generation for each in leaving(w)] == [generation]
            assert leaving(w)[0].endpoints


async def test_a_model_that_is_added_again_sleeps_under_a_new_generation() -> None:
    """A gateway does not ask again for a cluster that was removed."""
    async with world(chat=sleepy(), shop=app()) as w:
        await awake(w)
        generation = w.backend().generation or 0
        w.texts.remove("chat")
        await w.until(lambda: w.draining)
        await w.pass_time(2.0)
        await w.until(lambda: not w.replicas())
        w.texts.write("chat", sleepy())
        await w.until(lambda: any(each.service == KEY for each in w.plane.traffic.backends))
        assert w.backend().generation == generation + 1


async def test_requests_wait_for_a_replica_that_an_earlier_control_plane_has_started() -> None:
    async with world(chat=sleepy()) as w:
        await w.until(lambda: held(w))
        w.keeper.hold = True
        await ask(w)
        await w.until(w.replicas)
        await w.restart()
        await w.until(lambda: w.plane.published)
        await w.turns()
        assert held(w)
        w.keeper.become_ready("model.chat.0")
        await w.until(lambda: w.backend().endpoints)


async def test_requests_wait_for_a_model_that_may_no_longer_sleep_until_it_is_ready() -> None:
    for spec in (sleepy(least=1), model()):
        async with world(chat=sleepy()) as w:
            await w.until(lambda w=w: held(w))
            w.keeper.hold = True
            await ask(w)
            await w.until(w.replicas)
            w.texts.write("chat", spec)
            await w.turns(6)
            assert held(w)
            w.keeper.become_ready("model.chat.0")
            await w.until(lambda w=w: w.backend().generation is None and w.backend().endpoints)


async def test_a_model_that_has_made_room_waits_for_its_turn() -> None:
    async with world(chat=sleepy(), other=sleepy("other", source=OTHER)) as w:
        w.source.files[OTHER] = model_file(OTHER)
        w.memory_bytes = 800 * 2**20
        await awake(w)
        w.plane.in_flight = {"model.chat.0": 2}
        await w.pass_time(TURN_S)
        await ask(w, "model/other")
        await w.pass_time(TURN_S)
        await w.until(lambda: held(w))
        await ask(w)  # its clients do not stop
        await w.turns()
        assert held(w)
        assert "it waits for its turn" in said(w)
        w.plane.in_flight = {}
        await w.pass_time(2.0)
        await w.until(lambda: w.backend("model/other").endpoints)
        assert held(w)
        await w.pass_time(2.0)
        await w.until(lambda: held(w, "model/other"))
        await w.pass_time(2.0)
        await w.until(lambda: w.backend().endpoints)


async def test_a_model_that_does_not_start_at_once_does_not_fall_asleep_meanwhile() -> None:
    async with world(chat=sleepy()) as w:
        await w.until(lambda: held(w))
        w.keeper.hold = True
        await ask(w)
        await w.until(w.replicas)
        await w.pass_time(0.1)
        w.keeper.crash("model.chat.0", "exited with code 1")
        await w.until(lambda: not held(w))
        w.plane.asked.clear()
        await w.pass_time(100.0)
        await w.turns()
        assert w.replicas()
        await w.pass_time(30.0)
        await w.until(lambda: held(w))


async def test_of_three_models_that_fit_only_one_at_a_time_each_gets_its_turn() -> None:
    sources = {"chat": SOURCE, "other": OTHER, "third": "hf://org/repo/third.gguf"}
    texts = {name: sleepy(name, source=source) for name, source in sources.items()}
    async with world(chat=texts["chat"], other=texts["other"], third=texts["third"]) as w:
        w.source.files.update({source: model_file(source) for source in sources.values()})
        w.memory_bytes = 800 * 2**20
        await w.until(lambda: held(w))
        awake_since: dict[str, int] = dict.fromkeys(sources, 0)
        for turn in range(1, 60):  # the clients of all of them never stop
            for name in sources:
                if held(w, f"model/{name}"):
                    await ask(w, f"model/{name}")
                elif w.backend(f"model/{name}").endpoints:
                    awake_since[name] = turn
            w.plane.in_flight = {f"model.{name}.0": 0 if held(w, f"model/{name}") else 2 for name in sources}
            await w.pass_time(5.0)
        assert all(turn > 40 for turn in awake_since.values()), awake_since
