"""Changed specs are applied; an error in them changes no running service, and is reported."""

from bateau.domain.errors import ControlError
from bateau.domain.status import ServiceState
from control.world import app, model, world

RULES = """\
apiVersion: bateau.dev/v1alpha1
kind: Policy
metadata: {name: rules}
spec:
  match: {kinds: [Model]}
  rules: [{name: slots, check: spec.parallel < 2, message: "'one slot'", severity: error}]
  exceptions: [{rules: [slots], names: [chat], reason: trial, owner: search, until: 2024-01-31}]
"""


async def test_what_is_written_runs_and_is_reached() -> None:
    async with world(chat=model(replicas=2)) as w:
        await w.until(lambda: len(w.backend().endpoints) == 2)
        assert [e.replica for e in w.backend().endpoints] == ["model.chat.0", "model.chat.1"]
        assert w.service().state is ServiceState.READY
        assert list(w.gateway()) == ["gateway.envoy.0"]
        assert w.status.settled


async def test_a_mistake_leaves_what_runs_as_it_was_and_is_in_the_status() -> None:
    async with world(chat=model()) as w:
        await w.until(w.replicas)
        before, published = w.keeper.observe(), len(w.plane.published)
        w.texts.write("chat", model(replicas="many"))
        await w.until(lambda: w.status.problems)
        await w.turns()
        assert "spec.replicas" in w.status.problems[0].says
        assert w.status.problems[0].where
        assert w.status.problems[0].where.file == "chat.yaml"
        assert w.keeper.observe() == before
        assert len(w.plane.published) == published
        assert w.service().state is ServiceState.READY


async def test_an_error_in_one_file_holds_back_the_changes_in_others() -> None:
    async with world(chat=model()) as w:
        await w.until(w.replicas)
        w.texts.write("broken", "apiVersion: bateau.dev/v1alpha1\nkind: Modle\nmetadata: {name: x}\nspec: {}\n")
        w.texts.write("chat", model(replicas=3))
        await w.until(lambda: w.status.problems)
        await w.turns()
        assert len(w.replicas()) == 1


async def test_a_mended_file_is_followed() -> None:
    async with world(chat=model(replicas="many")) as w:
        await w.until(lambda: w.status.problems)
        assert not w.replicas()
        w.texts.write("chat", model(replicas=2))
        await w.until(lambda: len(w.replicas()) == 2)
        assert w.status.problems == ()


async def test_a_file_that_is_removed_takes_its_service_with_it() -> None:
    async with world(chat=model(), shop=app()) as w:
        await w.until(lambda: w.replicas() and w.replicas("app/shop"))
        w.texts.remove("chat")
        await w.until(lambda: w.draining)
        assert w.service().state is ServiceState.LEAVING
        await w.pass_time(1.0)
        await w.until(lambda: not w.replicas())
        assert list(w.replicas("app/shop")) == ["app.shop.0"]
        assert [s.service for s in w.status.services] == ["app/shop"]


async def test_a_directory_that_cannot_be_read_is_reported_and_changes_no_replica() -> None:
    async with world(chat=model()) as w:
        await w.until(w.replicas)
        w.texts.trouble = ControlError("cannot read /specs: Permission denied")
        w.texts.touch()
        await w.until(lambda: w.control.troubles.says)
        assert w.control.troubles.says == ("cannot read /specs: Permission denied",)
        assert len(w.replicas()) == 1


async def test_specs_that_could_not_be_read_are_read_again_later() -> None:
    async with world(chat=model()) as w:
        await w.until(w.replicas)
        w.texts.trouble = ControlError("cannot read /specs: Permission denied")
        w.texts.write("chat", model(replicas=2))
        await w.until(lambda: w.control.troubles.says)
        w.texts.trouble = None
        await w.until(lambda: len(w.replicas()) == 2)
        assert w.control.troubles.says == ()


async def test_a_touched_file_that_says_the_same_changes_nothing() -> None:
    async with world(chat=model()) as w:
        await w.until(w.replicas)
        await w.turns()
        before = list(w.journal)
        w.texts.touch()
        await w.turns()
        assert w.journal == before


async def test_a_restarted_control_plane_uses_the_last_valid_specs_while_they_are_broken() -> None:
    async with world(chat=model(replicas=2)) as w:
        await w.until(lambda: len(w.replicas()) == 2)
        pids = {replica.pid for replica in w.replicas().values()}
        w.texts.write("chat", "apiVersion: bateau.dev/v1alpha1\nkind: Model\nmetadata: {name: chat\n")
        await w.restart()
        await w.until(lambda: w.status.problems)
        await w.turns()
        assert {replica.pid for replica in w.replicas().values()} == pids
        assert len(w.backend().endpoints) == 2
        w.keeper.crash("model.chat.1")
        await w.until(lambda: len(w.backend().endpoints) == 1)


async def test_a_control_plane_without_saved_state_stops_nothing_while_the_specs_are_broken() -> None:
    async with world(chat=model()) as w:
        await w.until(w.replicas)
        w.memory.save({})
        w.texts.write("chat", model(replicas="many"))
        before = w.keeper.observe()
        published = len(w.plane.published)
        await w.restart()
        await w.until(lambda: any(problem.where for problem in w.status.problems))
        await w.pass_time(3600.0)
        assert [replica.id for replica in w.keeper.observe()] == [replica.id for replica in before]
        assert not w.draining
        assert len(w.plane.published) == published  # the gateway keeps its configuration
        assert w.service().state is ServiceState.READY
        assert w.service().reason == "not changed: no readable specs describe the desired state"
        assert w.status.settled
        assert not w.status.accepted
        w.texts.write("chat", model(replicas=2))
        await w.until(lambda: len(w.backend().endpoints) == 2)
        assert w.replicas()["model.chat.0"].adopted
        assert w.status.problems == ()


async def test_an_expired_policy_exception_stops_no_replica_after_a_restart() -> None:
    async with world(chat=model(parallel=2), rules=RULES) as w:
        await w.until(w.replicas)
        w.clock.advance(400 * 86_400)  # the exception expires
        await w.restart()
        await w.until(lambda: any("rules/slots" in problem.says for problem in w.status.problems))
        await w.pass_time(3600.0)
        assert list(w.replicas()) == ["model.chat.0"]
        assert len(w.backend().endpoints) == 1
        w.keeper.crash("model.chat.0")
        await w.until(lambda: not any(not each.draining for each in w.backend().endpoints))


async def test_a_bug_in_one_turn_does_not_end_the_control_plane() -> None:
    async with world(chat=model()) as w:
        await w.until(w.replicas)
        machine, w.control.ports.texts.read = w.texts.read, None  # pyright: ignore[reportAttributeAccessIssue] - a bug
        w.texts.touch()
        await w.until(lambda: w.control.troubles.says)
        assert w.control.troubles.says
        assert w.control.troubles.says[0].startswith("this is a bug in bateau: TypeError")
        w.texts.read = machine
        w.texts.write("chat", model(replicas=2))
        await w.until(lambda: len(w.replicas()) == 2)
        assert w.control.troubles.says == ()


async def test_what_runs_is_adopted_and_not_started_anew() -> None:
    async with world(chat=model(), shop=app()) as w:
        await w.until(lambda: w.replicas() and w.replicas("app/shop"))
        before = {replica.id: replica.pid for replica in w.keeper.observe()}
        await w.restart()
        await w.turns()
        assert {replica.id: replica.pid for replica in w.keeper.observe()} == before
        assert all(replica.adopted for replica in w.keeper.observe())
