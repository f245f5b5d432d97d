"""Budgets follow the ledger and the costs of models; a history that cannot be read lifts no refusal."""

import asyncio
import json
import logging
import os
from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from bateau.control.path import understand
from bateau.domain.api_key import ApiKey
from bateau.domain.event import Event
from bateau.domain.release import Release
from bateau.kit.money import Money
from bateau.store.ledger import Ledger
from bateau.store.rates import RateFile
from bateau.traffic.envoy.key_filters import BUDGETS
from bateau.wiring.budgets import Budgets, FollowedRates
from bateau.wiring.keys import Keys
from wiring.fed import Fed

TODAY = date(2026, 11, 24)
NOON = 1_800_000_000.0  # on a 15th
MODEL = "apiVersion: bateau.dev/v1alpha1\nkind: Model\nmetadata: {name: chat}\nspec:\n  source: smollm2\n"
EUR = "  costs: {money: {currency: EUR, input: %s, output: 1}}\n"


def release(costs: str = "") -> Release:
    return understand({"chat.yaml": MODEL + costs}, today=TODAY).release


class Instance:
    """The files of an instance. `begin` starts another control plane."""

    def __init__(self, base: Path) -> None:
        environ = {f"XDG_{name}": str(base / name) for name in ("STATE_HOME", "RUNTIME_DIR", "CACHE_HOME")}
        self.keys = Keys("default", environ)
        key = ApiKey(name="ci", owner="me", created_at=NOON, money_per_day=Money.parse("5EUR"))
        self.keys.create(key)
        self.state = self.keys.directory.parent
        self.ledger = Ledger(self.state / "usage")
        self.ledger.open()
        self.rates = self.state / "rates.json"
        self.release = release()
        self.begun: list[Fed[Budgets]] = []
        self.events: list[Event] = []

    def begin(self, at: float) -> Fed[Budgets]:
        rates = FollowedRates(RateFile(self.rates), lambda: self.release, began=at)
        budgets = Budgets(self.keys, self.ledger, rates, dict)
        budgets.report = self.events.extend
        self.begun.append(Fed(self.ledger, budgets))
        return self.begun[-1]

    def use(self, at: float, tokens: int, **more: object) -> None:
        line = {"v": "1", "time": f"{at:.3f}", "id": "r", "path": "/v1", "status": 200, "key": "ci", "model": "chat"}
        with self.ledger.path.open("a") as file:
            file.write(json.dumps({**line, "prompt_tokens": tokens, **more}) + "\n")

    @property
    def refused(self) -> bool:
        return "tokens-money-day" in (self.keys.directory / f"{BUDGETS}.json").read_text()


async def answered() -> bool:
    return True


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[Instance]:
    made = Instance(tmp_path)
    yield made
    for each in made.begun:
        each.close()


def test_a_request_that_came_before_another_price_costs_what_it_did(instance: Instance) -> None:
    instance.release = release(EUR % "1000000")
    first = instance.begin(NOON)
    first.keep(NOON + 1)
    instance.use(NOON + 0.5, 4)  # the model is as old as the control plane, although its price was written later
    first.keep(NOON + 2)
    assert not instance.refused
    instance.release = release(EUR % "1")
    first.keep(NOON + 3)
    instance.use(NOON + 4, 500_000)
    first.keep(NOON + 5)
    assert not instance.refused
    instance.use(NOON + 2.5, 1)  # it came before, and its line is written now
    first.keep(NOON + 6)
    assert instance.refused
    assert [(event.subject, event.reason) for event in instance.events] == [("key ci", "LimitReached")]
    first.close()
    # The next control plane knows both prices from the file, and adds one of its own.
    (instance.keys.directory / f"{BUDGETS}.json").unlink()
    instance.release = release(EUR % "7")
    instance.begin(NOON + 20).keep(NOON + 21)
    assert instance.refused
    assert [rate.since for rate in RateFile(instance.rates).load().by_model["chat"]] == [NOON, NOON + 3, NOON + 21]


def test_a_price_that_is_declared_later_is_not_that_of_earlier_requests(
    instance: Instance, caplog: pytest.LogCaptureFixture
) -> None:
    budgets = instance.begin(NOON)
    with caplog.at_level(logging.WARNING):
        for number in range(3):
            instance.use(NOON + number, 10**6)
            budgets.keep(NOON + number + 0.5)
    (record,) = caplog.records
    assert record.message.startswith("the key ci has a budget in EUR and uses models whose costs in EUR are unknown:")
    budgets.close()
    instance.release = release(EUR % "1000000")
    instance.begin(NOON + 10).keep(NOON + 11)
    assert not instance.refused


def test_a_history_that_cannot_be_read_lifts_no_refusal(instance: Instance, caplog: pytest.LogCaptureFixture) -> None:
    instance.release = release(EUR % "1000000")
    budgets = instance.begin(NOON)
    budgets.keep(NOON)
    instance.use(NOON + 1, 10)
    budgets.keep(NOON + 2)
    assert instance.refused
    budgets.close()
    instance.rates.write_text("{")
    budgets = instance.begin(NOON + 3)
    for _ in range(2):
        budgets.keep(NOON + 4)
    (record,) = caplog.records
    assert "rates.json" in record.message
    assert record.message.startswith("usage is not charged at the moment, and refused keys stay refused: ")
    assert instance.refused
    assert instance.rates.read_text() == "{"
    # Removed by a person: the costs of earlier requests are unknown.
    instance.rates.unlink()
    budgets.keep(NOON + 5)
    assert not instance.refused


def test_what_a_key_has_used_across_midnight_of_a_month_counts_after_a_restart(instance: Instance) -> None:
    """A request counts when it ends. Its line is in a file that was rotated since."""
    instance.release = release(EUR % "1000000")
    february = datetime(2027, 2, 1, tzinfo=UTC).timestamp()
    instance.begin(february - 60).keep(february - 60)
    instance.use(february - 1, 5, duration_ms=2_000)
    instance.begin(february - 60).keep(february + 2)
    assert instance.refused
    os.utime(instance.ledger.path, (february + 1, february + 1))
    asyncio.run(instance.ledger.keep(answered, now=february + 90_000))
    (instance.keys.directory / f"{BUDGETS}.json").unlink()
    instance.begin(february + 60).keep(february + 60)
    assert instance.refused


def test_a_clock_that_is_set_back_to_an_earlier_month_begins_no_budget_again(instance: Instance) -> None:
    instance.release = release(EUR % "1000000")
    budgets = instance.begin(NOON)
    instance.use(NOON, 10)
    budgets.keep(NOON + 1)
    assert instance.refused
    budgets.keep(NOON + 90 * 86_400)
    assert not instance.refused
    budgets.keep(NOON + 2)
    assert instance.refused


def test_nobody_is_admitted_before_all_that_was_used_is_known(
    instance: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Budgets, "lines_max", 3)
    instance.release = release(EUR % "1000000")
    instance.begin(NOON).keep(NOON)
    for _ in range(10):
        instance.use(NOON, 1)
    instance.begin(NOON).keep(NOON + 1)
    assert instance.refused
    budgets, turns = instance.begin(NOON), 1
    while budgets.turn(NOON + 2):
        assert instance.refused
        turns += 1
    assert turns == 4
    assert instance.refused
