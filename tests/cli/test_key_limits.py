"""`bateau keys create`: the limits of a key are read strictly, stored, and shown."""

import json
import time
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from bateau.cli.keys import command
from bateau.domain.costs import Costs, Energy, Price, Rates
from bateau.wiring.keys import Keys
from bateau.wiring.usage import ledger_of, rate_file_of

LIMITS = (
    *("--requests-per-minute", "60", "--concurrent", "4", "--tokens-per-minute", "60k", "--tokens-per-day", "1M"),
    *(
        "--money-per-day",
        "5EUR",
        "--money-per-month",
        "100.50 EUR",
        "--kwh-per-day",
        "1.5",
        "--kwh-per-month",
        "30 kWh",
    ),
)


@pytest.fixture
def environ(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    found = {f"XDG_{name}_HOME": str(tmp_path / name.lower()) for name in ("STATE", "CACHE")}
    found["XDG_RUNTIME_DIR"] = str(tmp_path)
    for name, value in found.items():
        monkeypatch.setenv(name, value)
    return found


def keys(*words: str) -> Result:
    return CliRunner().invoke(command, words)


def test_limits_are_stored_and_shown(environ: dict[str, str]) -> None:
    assert keys("create", "ci", *LIMITS).exit_code == 0
    assert (
        "60 requests/min, 4 at once, 60,000 tokens/min, 1,000,000 tokens/day, 5 EUR/day, 100.50 EUR/month, "
        "1.5 kWh/day, 30 kWh/month" in keys("list").output
    )
    tree = json.loads(keys("show", "ci", "--json").output)
    assert [tree[name] for name in ("moneyPerDay", "moneyPerMonth", "kwhPerDay", "kwhPerMonth")] == [
        *("5 EUR", "100.50 EUR", 1.5, 30.0)
    ]
    assert (tree["requestsPerMinute"], tree["tokensPerDay"]) == (60, 1_000_000)
    assert Keys("default", environ).named("ci").limits_usage


def test_a_key_is_shown_with_how_much_of_its_budgets_is_used(environ: dict[str, str]) -> None:
    keys("create", "ci", *LIMITS)
    costs = Costs(money=Price(currency="EUR", input=1e6, output=2e6), energy=Energy(input=5e3, output=5e3))
    rate_file_of("default", environ).save(Rates().followed_by({"chat": costs}, began=0.0, now=0.0))
    ledger = ledger_of("default", environ)
    ledger.open()
    row = {
        "v": "1",
        "time": f"{time.time():.3f}",
        "id": "r",
        "path": "/v1",
        "status": 200,
        "key": "ci",
        "prompt_tokens": 1,
    }
    rows = [{**row, "model": "chat"}, {**row, "model": "other"}, {**row, "model": "chat", "key": "other"}]
    ledger.path.write_text("".join(json.dumps(each) + "\n" for each in rows))
    tree = json.loads(keys("show", "ci", "--json").output)
    assert tree["budgets"][1] == {
        "unit": "EUR",
        "period": "day",
        "used": 1.0,
        "budget": 5.0,
        "requests": 2,
        "requestsUnknown": 1,
    }
    shown = keys("show", "ci").output
    assert "2 of 1,000,000 tokens this day\n" in shown
    assert "1.00 of 5.00 EUR this day; the costs of 1 of 2 requests are unknown\n" in shown
    assert "0.0050 of 30.00 kWh this month; the costs of 1 of 2 requests are unknown\n" in shown


@pytest.mark.parametrize(
    ("option", "value", "says"),
    [
        ("--money-per-day", "5", "5 is not an amount of money: write 5EUR or '0.50 EUR'"),
        ("--money-per-month", "0EUR", "0EUR is not an amount of money"),
        ("--money-per-month", "-5EUR", "-5EUR is not an amount of money"),
        ("--kwh-per-day", "0", "0 is not an amount of energy: write 1.5 or 30, in kWh"),
        ("--kwh-per-day", "nan", "nan is not an amount of energy"),
        ("--kwh-per-month", "1Wh", "1Wh is not an amount of energy"),
        ("--tokens-per-day", "1.5", "1.5 is not a number of tokens"),
    ],
)
@pytest.mark.usefixtures("environ")
def test_a_limit_that_is_not_an_amount_is_an_error_of_use(option: str, value: str, says: str) -> None:
    done = keys("create", "ci", option, value)
    assert (done.exit_code, says in done.stderr) == (2, True), done.output
    assert "ci" not in keys("list").output
