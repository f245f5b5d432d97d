"""What releases tell the timeline: who changed which service, and how that ended."""

from pathlib import Path

from bateau.control.history import HEALTHY_AFTER_S
from bateau.domain.timeline import service_of
from control.world import World, app, model, world


def says(w: World, service: str, *reasons: str) -> list[str]:
    return [each.says for each in w.events if service_of(each) == service and each.reason in reasons]


async def test_each_changed_service_is_told_with_who_did_it(tmp_path: Path) -> None:
    async with world(history=tmp_path / "h", chat=model(), shop=app()) as w:
        for _ in range(5):
            await w.until(lambda: w.status.rolled_out)
            await w.pass_time(HEALTHY_AFTER_S)
        assert says(w, "model/chat", "Released", "Healthy") == [
            "revision 1 adds it",
            f"revision 1: every replica was ready for {HEALTHY_AFTER_S:.0f} s",
        ]
        w.texts.write("shop", app(replicas=2))
        await w.until(lambda: "revision 2 changes it" in says(w, "app/shop", "Released"))
        assert len(says(w, "model/chat", "Released")) == 1, "it has not changed"
        (event,) = (each for each in w.events if each.says == "revision 2 changes it")
        assert event.fields == {"service": "app/shop", "revision": "2", "actor": "ada"}
        await w.control.restart("shop")
        assert says(w, "app/shop", "RestartAsked") == ["ada restarted app/shop"]
        await w.control.rollback("shop", to=1)
        assert says(w, "app/shop", "RolledBack") == ["ada rolled app/shop back to revision 1"]
        w.texts.remove("shop")
        await w.until(lambda: any("removes it" in each for each in says(w, "app/shop", "Released")))


async def test_texts_that_somebody_is_about_to_write_are_a_revision_by_them_and_others_are_not(tmp_path: Path) -> None:
    async with world(shop=app(), history=tmp_path / "history.sqlite") as w:
        await w.until(lambda: w.status.rolled_out)
        texts = w.control.desired.texts
        (name,) = texts
        w.control.desired.expect({name: app(replicas=2)}, who="bob (corp)")
        for replicas, who in ((3, "ada"), (2, "bob (corp)"), (4, "ada")):
            w.texts.write("shop", app(replicas=replicas))
            await w.until(lambda wanted=replicas: w.status.accepted and w.status.services[0].replicas_wanted == wanted)
            assert w.revisions
            (latest,) = w.revisions.history("local", limit=1)
            assert (latest.who, replicas) == (who, replicas)


async def test_somebody_else_than_the_user_of_this_machine_is_the_actor(tmp_path: Path) -> None:
    async with world(shop=app(), history=tmp_path / "history.sqlite") as w:
        await w.until(lambda: w.status.rolled_out)
        await w.control.restart("shop", who="bob (corp)")
        (event,) = [each for each in w.events if each.reason == "RestartAsked"]
        assert (event.says, event.fields["actor"]) == ("bob (corp) restarted app/shop", "bob (corp)")
