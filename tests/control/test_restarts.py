"""A restart replaces the replicas of one service, once, and the next control plane continues with it (A17)."""

from pathlib import Path
from typing import Any

import pytest

from bateau.control.restarts import Restarts
from bateau.domain.errors import ControlError
from bateau.domain.problem import Severity
from bateau.domain.release import Release
from bateau.domain.replica import ChangedFile
from bateau.kit.json_value import object_at
from bateau.testing import FakeMemory
from control.world import World, app, external, model, world

DRAIN_S = 601.0  # longer than a model's drain timeout


async def rolled_out(w: World) -> None:
    """Let replicas start and drains end until all of it is ready and nothing else is left."""
    for _ in range(20):
        await w.pass_time(DRAIN_S)
        if w.status.rolled_out and not w.draining:
            return
    raise AssertionError(w.status)


async def test_a_new_replica_is_ready_before_an_old_one_drains(tmp_path: Path) -> None:
    """A17."""
    async with world(history=tmp_path / "h", chat=model(replicas=2), shop=app()) as w:
        await rolled_out(w)
        before, shop = w.replicas(), w.replicas("app/shop")
        w.journal.clear()
        made = await w.control.restart("chat")
        assert made.service == "model/chat"
        assert not w.service().rolled_out, "whoever waits must not take the old replicas for the new ones"
        await rolled_out(w)
        after = w.replicas()
        assert len(after) == 2
        assert {each.pid for each in after.values()}.isdisjoint(each.pid for each in before.values())
        assert w.replicas("app/shop") == shop
        starts = [at for at, word in enumerate(w.journal) if word.startswith("start")]
        drains = [at for at, word in enumerate(w.journal) if "draining" in word]
        assert starts[0] < drains[0] < starts[1]
        assert w.revisions
        assert "ada restarted model/chat" in w.revisions.history(limit=1)[0].events[-1].says


async def test_the_next_control_plane_continues_and_restarts_nothing_again() -> None:
    """A17."""
    async with world(chat=model(replicas=2)) as w:
        await rolled_out(w)
        w.keeper.hold = True
        await w.control.restart("chat")
        await w.turns()
        assert len(w.replicas()) == 3, "one new replica starts, and is not ready yet"
        wanted = w.service().revision
        await w.restart()
        await w.turn()
        for replica_id in w.replicas():
            w.keeper.become_ready(replica_id)
        await rolled_out(w)
        settled = w.replicas()
        assert {each.revision for each in settled.values()} == {wanted}
        for _ in range(2):
            await w.restart()
            await rolled_out(w)
            assert {each: r.revision for each, r in w.replicas().items()} == {
                each: r.revision for each, r in settled.items()
            }


async def test_each_restart_is_another_revision_and_an_edit_of_another_service_is_none() -> None:
    """A17."""
    async with world(chat=model(), shop=app()) as w:
        await rolled_out(w)
        revisions = {w.service().revision}
        for _ in range(2):
            await w.control.restart("model/chat")
            await rolled_out(w)
            revisions.add(w.service().revision)
        assert len(revisions) == 3
        w.texts.write("shop", app(replicas=2))
        await rolled_out(w)
        assert w.service().revision in revisions


async def test_a_service_that_is_gone_leaves_nothing_behind() -> None:
    memory = FakeMemory()
    async with world(memory=memory, chat=model(), shop=app()) as w:
        await rolled_out(w)
        await w.control.restart("shop")
        assert list(object_at(memory.load(), "restarts", "local")) == ["app/shop"]
        w.texts.remove("shop")
        await w.turns()
        assert object_at(memory.load(), "restarts")["local"] == {}


async def test_what_cannot_be_remembered_is_not_restarted() -> None:
    """A17, A21: on a full disk the next control plane would revert it."""
    memory = FakeMemory()
    async with world(memory=memory, chat=model()) as w:
        await rolled_out(w)
        before = w.replicas()
        memory.full = True
        with pytest.raises(ControlError, match="cannot write"):
            await w.control.restart("chat")
        await w.turns()
        assert w.replicas() == before
        memory.full = False
        await w.turns()
        assert object_at(memory.load(), "restarts", "local") == {}


async def test_a_service_that_does_not_run_here_and_one_that_does_not_exist_are_refused() -> None:
    async with world(chat=model(), big=external()) as w:
        await rolled_out(w)
        with pytest.raises(ControlError, match="model/big does not run on this machine"):
            await w.control.restart("big")
        with pytest.raises(ControlError, match="there is no service chta") as caught:
            await w.control.restart("chta")
        assert caught.value.hint == "did you mean `chat`?"


@pytest.mark.parametrize("kept", [None, [], {"local": 3}, {"local": {"model/chat": 3}}, "x"])
def test_damaged_state_is_no_restart(kept: Any) -> None:
    restarts = Restarts(None)
    restarts.remember(kept)
    assert restarts.applied(Release()) == Release()
    assert restarts.remembered() == {"local": {}}


def test_restarts_of_another_environment_stay_there() -> None:
    restarts = Restarts("prod")
    restarts.remember({"staging": {"model/chat": "t"}, "prod": {"model/chat": "u"}})
    restarts.keep(Release())
    assert restarts.remembered() == {"staging": {"model/chat": "t"}, "prod": {}}


async def test_the_status_names_a_file_that_changed_under_a_replica_and_how_to_apply_it() -> None:
    """A17."""
    async with world(chat=model(replicas=2)) as w:
        await rolled_out(w)
        assert not w.status.problems
        path = "/models/mine.gguf"
        w.keeper.changed("model.chat.1", ChangedFile(path=path, how="replaced"))
        await w.turn()
        (problem,) = w.status.problems
        assert problem.says == f"model/chat runs from a file that was replaced since it started: {path}"
        assert problem.hint == "run `bateau restart chat` to run the file as it is now"
        assert problem.severity is Severity.WARNING
        assert w.service().rolled_out
        await w.control.restart("chat")
        await rolled_out(w)
        assert not w.status.problems
