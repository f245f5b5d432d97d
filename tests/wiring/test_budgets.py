"""Budgets follow the ledger and the costs of models; a history that cannot be read lifts no refusal."""

import json
import logging
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest

from bateau.control.path import understand
from bateau.domain.api_key import ApiKey
from bateau.domain.errors import ControlError
from bateau.domain.event import Event
from bateau.domain.release import Release
from bateau.kit.money import Money
from bateau.store.ledger import Ledger
from bateau.store.rates import RateFile
from bateau.traffic.envoy.key_filters import BUDGETS
from bateau.wiring.budgets import Budgets, FollowedRates
from bateau.wiring.keys import Keys

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
        self.begun: list[Budgets] = []
        self.events: list[Event] = []

    def begin(self, at: float) -> Budgets:
        rates = FollowedRates(RateFile(self.rates), lambda: self.release, began=at)
        self.begun.append(Budgets(self.keys, self.ledger, rates, dict))
        self.begun[-1].report = self.events.extend
        return self.begun[-1]

    def use(self, at: float, tokens: int) -> None:
        line = {"v": "1", "time": f"{at:.3f}", "id": "r", "path": "/v1", "status": 200, "key": "ci", "model": "chat"}
        with self.ledger.path.open("a") as file:
            file.write(json.dumps({**line, "prompt_tokens": tokens}) + "\n")

    @property
    def refused(self) -> bool:
        return "tokens-money-day" in (self.keys.directory / f"{BUDGETS}.json").read_text()


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


def test_a_history_that_cannot_be_read_lifts_no_refusal(instance: Instance) -> None:
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
        with pytest.raises(ControlError, match=r"rates\.json"):
            budgets.keep(NOON + 4)
    assert instance.refused
    assert instance.rates.read_text() == "{"
    # Removed by a person: the costs of earlier requests are unknown.
    instance.rates.unlink()
    budgets.keep(NOON + 5)
    assert not instance.refused
