"""The ledger is acted on at the next look, and an idle control plane reads nothing."""

from pathlib import Path

import pytest

from bateau.control.loop import Control
from bateau.domain.api_key import ApiKey
from bateau.domain.release import Release
from bateau.store.ledger import Ledger
from bateau.testing.clock import ManualClock
from bateau.wiring.accounts import Accounts
from bateau.wiring.budgets import Budgets, FollowedRates
from bateau.wiring.feed import Feed
from bateau.wiring.keys import Keys
from bateau.wiring.paths import paths
from bateau.wiring.usage import rate_file_of
from control.world import model, world
from wiring.fed import opened, write

NOON = 1_800_000_000.0
LOOK_S = 0.5


class Looks:
    """Accounts whose looks are counted: a turn reads the ledger."""

    def __init__(self, base: Path, control: Control) -> None:
        environ = {"XDG_STATE_HOME": str(base), "HOME": str(base)}
        where = paths("test", environ)
        (where.state / "gateway").mkdir(parents=True)
        self.keys, self.clock, self.turns = Keys("test", environ), ManualClock(wall=NOON), 0
        self.ledger: Ledger = opened(base)
        rates = FollowedRates(rate_file_of("test", environ), Release, began=NOON)
        self.budgets = Budgets(self.keys, self.ledger, rates, dict)
        self.accounts = Accounts(where, self.ledger, self.keys, control=control, budgets=self.budgets, clock=self.clock)

    async def look(self) -> int:
        """Look once; return how many turns that took."""
        before = self.turns
        self.clock.advance(LOOK_S)
        await self.accounts.keep(_reopened)
        return self.turns - before

    def use(self, tokens: int) -> None:
        """Write a request as the gateway does."""
        line = {"time": f"{self.clock.wall():.3f}", "id": f"r{tokens}", "key": "ci", "model": "chat"}
        write(self.ledger, {**line, "prompt_tokens": tokens})


async def _reopened() -> bool:
    return True


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> list[Looks]:
    made = list[Looks]()
    turn = Feed.turn

    def noted(self: Feed, now: float) -> bool:
        for each in made:
            each.turns += 1
        return turn(self, now)

    monkeypatch.setattr(Feed, "turn", noted)
    return made


async def test_while_nothing_changes_the_ledger_is_rarely_read(tmp_path: Path, counted: list[Looks]) -> None:
    async with world(chat=model()) as w:
        looks = Looks(tmp_path, w.control)
        counted.append(looks)
        await looks.look()
        assert sum([await looks.look() for _ in range(100)]) == 100 * LOOK_S / 5


async def test_a_request_and_a_change_of_a_key_take_effect_at_the_next_look(
    tmp_path: Path, counted: list[Looks]
) -> None:
    async with world(chat=model()) as w:
        looks = Looks(tmp_path, w.control)
        counted.append(looks)
        for _ in range(3):
            await looks.look()
        looks.use(7)
        await looks.look()
        assert sum(each.requests for each in looks.accounts.counters.shown.values()) == 1
        looks.keys.create(ApiKey(name="ci", owner="me", created_at=NOON, tokens_per_day=10))
        assert await looks.look() == 1
        looks.use(8)
        await looks.look()
        assert looks.budgets.refused_until("ci", looks.clock.wall()) is not None


async def test_the_end_of_a_refusal_takes_effect_at_the_next_look(tmp_path: Path, counted: list[Looks]) -> None:
    async with world(chat=model()) as w:
        looks = Looks(tmp_path, w.control)
        counted.append(looks)
        looks.keys.create(ApiKey(name="ci", owner="me", created_at=NOON, tokens_per_day=10))
        looks.use(11)
        await looks.look()
        until = looks.budgets.refused_until("ci", looks.clock.wall())
        assert until is not None
        looks.clock.advance(until - looks.clock.wall() - 1.5 * LOOK_S)
        await looks.look()
        assert looks.budgets.refuses
        await looks.look()
        assert looks.budgets.refused_until("ci", looks.clock.wall()) is None
        assert looks.budgets.refuses is False
