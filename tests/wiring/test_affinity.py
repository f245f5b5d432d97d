"""What the ledger says of a model with affinity turns that off, in the traffic and in the status, and on again."""

import json
from pathlib import Path

import pytest

from bateau.control.affinity import PAUSE_S, REQUESTS_MIN
from bateau.domain.status import AffinityStatus
from bateau.store.ledger import Ledger
from bateau.store.state_file import StateFile
from bateau.wiring.affinity import AffinityWatch
from control.world import World, app, external, model, world
from wiring.fed import Fed


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    made = Ledger(tmp_path / "usage")
    made.open()
    return made


class Watch:
    """The watch of a control plane."""

    def __init__(self, ledger: Ledger, w: World) -> None:
        file = ledger.path.with_name("affinity.json")
        self.fed = Fed(ledger, AffinityWatch(ledger, w.control, StateFile(file)))

    def keep(self, now: float) -> None:
        self.fed.keep(now)
        self.fed.consumer.decide(now)
        self.fed.keep(now)


def write(ledger: Ledger, now: float, *, prefix_ms: int, requests_ms: int) -> None:
    """Have the gateway write lines about requests of both kinds."""
    with ledger.path.open("a") as file:
        for by, ms in (("prefix", prefix_ms), ("requests", requests_ms)):
            about = {"path": "/v1/chat/completions", "status": 200, "model": "chat", "balanced_by": by}
            tree = {"v": "1", "time": f"{now:.3f}", "id": "r", "first_byte_ms": ms, "duration_ms": 0, **about}
            file.write(f"{json.dumps(tree)}\n" * REQUESTS_MIN)


def published(w: World) -> dict[str, bool]:
    return {each.name: each.affinity for each in w.plane.traffic.backends if each.protocol == "openai"}


def status_of(w: World, service: str) -> AffinityStatus | None:
    return next(each.affinity for each in w.status.services if each.service == service)


async def test_affinity_that_is_slower_is_off_in_the_traffic_and_in_the_status_and_is_tried_again(
    ledger: Ledger,
) -> None:
    async with world(chat=model(replicas=2), big=external(), shop=app()) as w:
        await w.until(lambda: w.status.settled)
        assert published(w) == {"chat": True, "big": False}
        watch, now = Watch(ledger, w), w.clock.wall()
        write(ledger, now, prefix_ms=900, requests_ms=1)  # before it was followed
        watch.keep(now)
        assert status_of(w, "model/chat") == AffinityStatus(
            on=True, says="the turns of a conversation go to one replica"
        )
        assert status_of(w, "model/big") is None
        assert status_of(w, "app/shop") is None
        write(ledger, now, prefix_ms=900, requests_ms=100)
        watch.keep(now)
        await w.until(lambda: published(w) == {"chat": False, "big": False})
        found = status_of(w, "model/chat")
        assert found
        assert not found.on
        assert "after 900 ms with it (30 requests), and after 100 ms without (30 requests)" in found.says
        watch.keep(now + PAUSE_S)
        await w.until(lambda: published(w) == {"chat": True, "big": False})
        watch.fed.close()


async def test_with_one_replica_nothing_is_compared(ledger: Ledger) -> None:
    async with world(chat=model()) as w:
        await w.until(lambda: w.status.settled)
        watch, now = Watch(ledger, w), w.clock.wall()
        watch.keep(now)
        write(ledger, now, prefix_ms=900, requests_ms=100)
        watch.keep(now)
        assert published(w) == {"chat": True}


async def test_a_model_without_the_field_has_none(ledger: Ledger) -> None:
    async with world(chat=model(replicas=2, affinity="none")) as w:
        await w.until(lambda: w.status.settled)
        assert published(w) == {"chat": False}
        assert status_of(w, "model/chat") == AffinityStatus(on=False, says="spec.affinity is none")
        Watch(ledger, w).keep(w.clock.wall())


async def test_affinity_that_is_off_stays_off_after_a_restart(ledger: Ledger) -> None:
    async with world(chat=model(replicas=2)) as w:
        await w.until(lambda: published(w) == {"chat": True})
        watch, now = Watch(ledger, w), w.clock.wall()
        watch.keep(now)
        write(ledger, now, prefix_ms=900, requests_ms=100)
        watch.keep(now)
        await w.until(lambda: published(w) == {"chat": False})
        says = status_of(w, "model/chat")
        await w.renew()
        watch = Watch(ledger, w)
        watch.keep(now + 1)  # before the specs are read
        await w.begin()
        seen = [published(w)]
        await w.until(lambda: seen.append(published(w)) or w.status.settled)
        assert {"chat": True} not in seen
        assert status_of(w, "model/chat") == says
        watch.keep(now + 2)
        assert status_of(w, "model/chat") == says
        watch.keep(now + PAUSE_S)
        await w.until(lambda: published(w) == {"chat": True})
        assert json.loads(ledger.path.with_name("affinity.json").read_text())["off"] == {}


@pytest.mark.parametrize(
    "content",
    [
        "{",
        "[]",
        '{"format": 99}',
        '{"format": 2, "affinity_format": 2, "off": {"chat": {"until": 9e9, "pause_s": 900, "says": "x"}}}',
        '{"format": 2, "affinity_format": 1, "off": {"chat": {"until": NaN, "pause_s": 900, "says": "x"}}}',
        '{"format": 2, "affinity_format": 1, "off": {"chat": {"until": 9e9, "pause_s": -1, "says": "x"}}}',
        '{"format": 2, "affinity_format": 1, "off": {"chat": 1}}',
        '{"format": 2, "affinity_format": 1, "off": {"chat": {"until": 9e9, "pause_s": 900, "says": "x"}}}',
    ],
)
async def test_decisions_that_cannot_be_read_or_are_of_another_clock_leave_affinity_on(
    ledger: Ledger, content: str
) -> None:
    ledger.path.with_name("affinity.json").write_text(content)
    async with world(chat=model(replicas=2)) as w:
        watch = Watch(ledger, w)
        watch.keep(w.clock.wall())
        await w.until(lambda: w.status.settled and published(w) == {"chat": True})
