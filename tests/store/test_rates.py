"""The history of the costs of models: kept exactly, and never replaced because it cannot be read."""

import json
from pathlib import Path

import pytest

from bateau.domain.costs import Costs, Energy, Price, Rates
from bateau.domain.errors import ControlError
from bateau.store.rates import RateFile

WHOLE = Costs(
    money=Price(currency="EUR", input=0.1, cached=0.05, output=0.3), energy=Energy(input=1e-9, output=0.0)
)  # fmt: skip


def test_a_history_is_read_as_it_was_written(tmp_path: Path) -> None:
    path = tmp_path / "rates.json"
    assert RateFile(path).load() == Rates()
    rates = Rates().followed_by({"chat": None, "other": WHOLE}, began=1.25, now=2.0)
    rates = rates.followed_by({"chat": Costs(energy=WHOLE.energy), "other": Costs()}, began=1.25, now=3.5)
    RateFile(path).save(rates)
    assert RateFile(path).load() == rates
    assert path.stat().st_mode & 0o777 == 0o600


def changed(**more: object) -> str:
    costs = {"money": {"currency": "EUR", "input": 1, "output": 2, **more}}
    return json.dumps({"format": 2, "rates_format": 1, "models": {"chat": [{"since": 1, "costs": costs}]}})


def test_the_damaged_files_below_are_readable_without_their_damage(tmp_path: Path) -> None:
    path = tmp_path / "rates.json"
    path.write_text(changed())
    costs = RateFile(path).load().of("chat", 1.0)
    assert costs == Costs(money=Price(currency="EUR", input=1.0, output=2.0))


@pytest.mark.parametrize(
    "content",
    [
        *("", "{", "[]", "{}", '{"format": 99}', '{"format": 2, "rates_format": 2, "models": {}}'),
        *('{"format": 2, "rates_format": 1}', '{"format": 2, "rates_format": 1, "models": {"chat": []}}'),
        *('{"format": 2, "rates_format": 1, "models": {"chat": [1]}}',),
        *('{"format": 2, "rates_format": 1, "models": {"chat": [{"since": "soon", "costs": null}]}}',),
        *(changed(input=-1), changed(input="1"), changed(output=None), changed(cached=True), changed(currency=1)),
        *(changed(input=float("nan")), changed(output=float("inf")), changed(input=10**400)),
        *(changed(currency="kWh"), changed(currency=""), "[" * 100_000),
    ],
)
def test_a_damaged_file_is_an_error_and_stays_as_it_is(tmp_path: Path, content: str) -> None:
    path = tmp_path / "rates.json"
    path.write_text(content)
    with pytest.raises(ControlError, match=r"rates\.json"):
        RateFile(path).load()
    assert path.read_text() == content
