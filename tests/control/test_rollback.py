"""A rollback changes one service alone, and lasts until the spec of that service changes."""

from pathlib import Path

import pytest

from bateau.control.history import HEALTHY_AFTER_S
from bateau.domain.errors import ControlError
from bateau.domain.workload import ModelServer
from bateau.testing import FakeMemory
from control.world import World, app, model, world

SOURCES = ("hf://org/repo/chat.gguf", "hf://org/repo/chat-2.gguf")


def parallel(w: World) -> int:
    runs = next(service.runs for service in w.control.release.services if service.key == "model/chat")
    assert isinstance(runs, ModelServer)
    return runs.parallel


async def healthy(w: World) -> None:
    """Wait until the last revision is known to be healthy."""
    assert w.revisions
    for _ in range(10):
        await w.until(lambda: w.status.rolled_out)
        await w.pass_time(HEALTHY_AFTER_S)  # during it, draining replicas may stop, and the healthy time starts over
        if w.revisions.history(limit=1)[0].outcome == "healthy":
            return
    raise AssertionError(w.revisions.history(limit=1)[0])


async def write(w: World, name: str, text: str) -> None:
    assert w.revisions
    before = w.revisions.history(limit=1)[0].id
    w.texts.write(name, text)
    revisions = w.revisions
    await w.until(lambda: revisions.history(limit=1)[0].id > before)


async def test_one_service_goes_back_and_the_others_stay(tmp_path: Path) -> None:
    async with world(history=tmp_path / "h", chat=model(parallel=1), shop=app()) as w:
        await healthy(w)
        await write(w, "chat", model(parallel=2))
        await write(w, "shop", app(replicas=2))
        made = await w.control.rollback("chat")
        await w.turn()
        assert made.revision.id == 1
        assert parallel(w) == 1
        assert next(s for s in w.control.release.services if s.key == "app/shop").replicas == 2
        assert w.revisions
        newest, older = w.revisions.history(limit=2)
        assert newest.pins == {"model/chat": 1}
        assert older.outcome == "rolled back"
        assert "ada" in older.events[-1].says
        assert "was rolled back to revision 1" in " ".join(problem.says for problem in w.status.problems)


async def test_it_lasts_over_a_restart_and_edits_of_others_and_ends_when_it_is_written_anew(tmp_path: Path) -> None:
    async with world(history=tmp_path / "h", chat=model(parallel=1), shop=app()) as w:
        await healthy(w)
        await write(w, "chat", model(parallel=2))
        await w.control.rollback("model/chat")
        await w.restart()
        await w.turn()
        assert parallel(w) == 1
        await write(w, "shop", app(replicas=3))
        assert parallel(w) == 1
        await write(w, "chat", model(parallel=3))
        assert parallel(w) == 3
        assert not w.control.desired.held
        assert not w.status.problems


async def test_going_back_twice_goes_further_back_and_never_forth(tmp_path: Path) -> None:
    async with world(history=tmp_path / "h", chat=model(parallel=1)) as w:
        for slots in (2, 3):
            await healthy(w)
            await write(w, "chat", model(parallel=slots))
        await healthy(w)
        assert (await w.control.rollback("chat")).revision.id == 2
        await w.until(lambda: parallel(w) == 2)
        await healthy(w)
        assert (await w.control.rollback("chat")).revision.id == 1
        await w.until(lambda: parallel(w) == 1)
        await healthy(w)
        with pytest.raises(ControlError, match="no earlier healthy revision"):
            await w.control.rollback("chat")


async def test_a_revision_that_is_named_need_not_have_been_healthy(tmp_path: Path) -> None:
    async with world(history=tmp_path / "h", chat=model(parallel=1, source=SOURCES[1])) as w:
        await w.turn()  # its model cannot be fetched, so it is never healthy
        await write(w, "chat", model(parallel=2))
        with pytest.raises(ControlError, match="no earlier healthy"):
            await w.control.rollback("chat")
        await w.control.rollback("chat", to=1)
        assert parallel(w) == 1
        with pytest.raises(ControlError, match="no revision 99"):
            await w.control.rollback("chat", to=99)


async def test_a_mistake_in_what_is_written_does_not_hinder_it(tmp_path: Path) -> None:
    async with world(history=tmp_path / "h", chat=model(parallel=1)) as w:
        await healthy(w)
        await write(w, "chat", model(parallel=2))
        w.texts.write("chat", model(parallel="many"))
        await w.until(lambda: w.status.problems)
        await w.control.rollback("chat")
        await w.turn()
        assert parallel(w) == 1


async def test_what_is_not_there_is_named(tmp_path: Path) -> None:
    async with world(history=tmp_path / "h", chat=model()) as w:
        await healthy(w)
        with pytest.raises(ControlError, match="there is no service chta") as told:
            await w.control.rollback("chta")
        assert "chat" in (told.value.hint or "")


async def test_a_replica_that_falls_over_soon_makes_no_revision_healthy(tmp_path: Path) -> None:
    async with world(history=tmp_path / "h", chat=model(parallel=1)) as w:
        assert w.revisions
        await w.until(lambda: w.status.rolled_out)
        await w.pass_time(HEALTHY_AFTER_S - 1)
        w.keeper.crash("model.chat.0")
        await w.turn()
        assert not w.status.rolled_out
        w.keeper.restart("model.chat.0")
        await w.until(lambda: w.status.rolled_out)
        await w.pass_time(HEALTHY_AFTER_S - 1)
        assert w.revisions.history(limit=1)[0].outcome == "applied"
        await write(w, "chat", model(parallel=2))
        assert [each.outcome for each in w.revisions.history()] == ["applied", "applied"]
        await healthy(w)


async def test_a_revision_that_is_soon_replaced_was_healthy_if_all_of_it_was_ready(tmp_path: Path) -> None:
    async with world(history=tmp_path / "h", chat=model(parallel=1)) as w:
        await w.until(lambda: w.status.rolled_out)
        await w.turn()
        await write(w, "chat", model(parallel=2))
        assert w.revisions
        assert [each.outcome for each in w.revisions.history()] == ["applied", "healthy"]
        assert (await w.control.rollback("chat")).revision.id == 1


async def test_what_is_held_in_one_environment_is_not_in_another(tmp_path: Path) -> None:
    environments = "".join(
        f"apiVersion: bateau.dev/v1alpha1\nkind: Environment\nmetadata: {{name: {name}}}\n---\n"
        for name in ("test", "prod")
    )
    async with world(history=tmp_path / "h", environments=environments, chat=model(parallel=1)) as w:
        await healthy(w)
        await write(w, "chat", model(parallel=2))
        await w.control.rollback("chat")
        await w.restart(environment="prod")
        await w.turn()
        assert parallel(w) == 2
        assert not w.control.desired.held
        await w.restart()
        await w.turn()
        assert parallel(w) == 1


async def test_what_the_gateway_rejects_is_not_rolled_out(tmp_path: Path) -> None:
    async with world(history=tmp_path / "h", chat=model()) as w:
        await w.until(lambda: w.status.rolled_out)
        w.plane.rejections = {"model/chat": "the port is taken"}
        await w.turn()
        assert not w.status.rolled_out
        assert w.service().rejected == "the port is taken"
        w.plane.rejections, w.plane.accepted = {}, False  # nothing was acknowledged yet
        await w.turn()
        assert not w.status.rolled_out


async def test_a_hold_that_cannot_be_read_leaves_the_service_as_its_spec_says(tmp_path: Path) -> None:
    memory = FakeMemory()
    async with world(history=tmp_path / "h", memory=memory, chat=model(parallel=1), shop=app()) as w:
        await healthy(w)
        await write(w, "chat", model(parallel=2))
        await w.control.rollback("chat")
        await w.turn()
        assert parallel(w) == 1
        assert w.revisions
        w.revisions.content = _unreadable  # type: ignore[method-assign]
        await w.restart()
        await w.until(lambda: parallel(w) == 2)
        said = " ".join(problem.says for problem in w.status.problems)
        assert "revision 1 is damaged" in said


def _unreadable(_revision: int) -> dict[str, str]:
    raise ControlError("revision 1 is damaged")
