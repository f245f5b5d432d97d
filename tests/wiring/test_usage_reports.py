"""The sums of the ledger for pages: those of `bateau usage`, made seldom and in a bounded time."""

import asyncio
import json
import logging
import time
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from bateau.api.usage_json import usage_rows
from bateau.cli.usage import command
from bateau.domain.api_key import ApiKey
from bateau.domain.costs import Costs, Price, Rates
from bateau.domain.usage_report import LASTS, UsageReport
from bateau.domain.used import By
from bateau.store.ledger import Ledger
from bateau.store.rates import RateFile
from bateau.testing import ManualClock
from bateau.wiring import usage_process, usage_reports
from bateau.wiring.keys import Keys
from bateau.wiring.paths import paths
from bateau.wiring.usage import Owners
from bateau.wiring.usage_process import Asked, usage_report
from bateau.wiring.usage_reports import UsageReports


@pytest.fixture
def environ(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    found = {f"XDG_{name}_HOME": str(tmp_path / name.lower()) for name in ("STATE", "CACHE")}
    found["XDG_RUNTIME_DIR"] = str(tmp_path)
    for name, value in found.items():
        monkeypatch.setenv(name, value)
    return found


def line(at: float, number: int, **more: Any) -> str:
    tree = {"v": "1", "time": f"{at:.3f}", "id": f"r{number}", "path": "/v1/chat/completions", "status": 200, **more}
    return json.dumps(tree) + "\n"


def fill(environ: dict[str, str], now: float) -> Path:
    """Write a ledger with keys, tokens, errors, costs, clients that left, cut requests, damage and old lines."""
    Keys("default", environ).create(ApiKey(name="ci", owner="ada"))
    state = paths("default", environ).state
    ledger = Ledger(state / "usage")
    ledger.open()
    rows: list[str] = []
    for number in range(400):
        at = now - number * 7_000.5  # over a month
        match number % 5:
            case 0:
                more: dict[str, Any] = {
                    "key": "ci",
                    "model": "chat",
                    "prompt_tokens": 7 + number,
                    "completion_tokens": 3,
                }
            case 1:
                more = {"key": "ada@example.org", "owner": "ada@example.org", "model": "big", "prompt_tokens": 5}
            case 2:
                more = {
                    "key": "gone",
                    "model": "chat",
                    "flags": "DC",
                    "events": 9,
                    "bytes_in": 90,
                    "replica": "model.chat.0",
                }
            case 3:
                more = {"status": 401}
            case _:
                more = {"key": "app/shop", "model": "big"}
        rows.append(line(at, number, **more))
    rows += ["{damaged\n", line(now - 9_000, 1000, v="begun-1", key="ci", model="chat", replica="model.chat.0")]
    ledger.path.write_text("".join(reversed(rows)))
    price = Costs(money=Price(currency="EUR", input=100, output=300))
    RateFile(state / "rates.json").save(Rates().followed_by({"chat": price}, began=0.0, now=0.0))
    return state


def test_the_sums_are_those_of_bateau_usage(environ: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    now = time.time()
    state = fill(environ, now)
    monkeypatch.setattr(time, "time", lambda: now)
    for last in LASTS:
        owners = Owners(Keys("default", environ)).of(())
        report = usage_report(Asked(state=state, last=last, until=now, cut_before=now - 3600, owners=owners))
        assert report.trouble is None
        assert report.damaged == 1
        by: By
        for by in ("key", "owner", "model", "day", "hour"):
            done = CliRunner().invoke(command, ["--last", last, "--by", by])
            assert done.exit_code == 0, done.output
            rows = [each.split() for each in done.stdout.splitlines()]
            assert [" ".join(each).split() for each in usage_rows(report.by[by], by)] == rows
        total = report.by["key"].total.sum
        for groups in (report.of_model, report.of_key):
            found = [group.sum for each in groups.values() for group in each.values()]
            assert sum(each.requests for each in found) == total.requests
            assert sum(each.tokens_in for each in found) == total.tokens_in
        assert report.tokens == {"ada@example.org"}


def test_a_ledger_that_takes_too_long_is_given_up(environ: dict[str, str]) -> None:
    now = time.time()
    asked = Asked(state=fill(environ, now), last="30d", until=now, cut_before=now, owners={})
    report = usage_report(asked, seconds_max=0.0)
    assert report.by == {}
    assert report.trouble == "the ledger of this time is too large for a page; `bateau usage --last 30d` sums it"


def test_costs_that_cannot_be_read_are_a_trouble_and_no_sums(environ: dict[str, str]) -> None:
    now = time.time()
    state = fill(environ, now)
    (state / "rates.json").write_text('{"rates_format": 99}')
    report = usage_report(Asked(state=state, last="24h", until=now, cut_before=now, owners={}))
    assert report.by == {}
    assert report.trouble is not None and "rates.json cannot be used" in report.trouble


async def until_made(reports: UsageReports, *, but: UsageReport | None = None) -> UsageReport:
    for _ in range(1500):
        if (found := reports.now("24h")) is not None and found is not but:
            return found
        await asyncio.sleep(0.02)
    raise AssertionError("there is no report")


async def test_the_report_of_the_process_is_the_same(environ: dict[str, str]) -> None:
    now = time.time()
    state, clock = fill(environ, now), ManualClock(wall=now)
    reports = UsageReports(state, Owners(Keys("default", environ)), clock, gateways=list)
    found = await until_made(reports)
    owners = Owners(Keys("default", environ)).of(())
    assert found == usage_report(Asked(state=state, last="24h", until=now, cut_before=now - 3600, owners=owners))
    await reports.close()


async def test_many_pages_share_one_report(environ: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[str] = []
    clock, taken = ManualClock(wall=time.time()), [0.0]

    async def report(self: UsageReports, last: str) -> UsageReport:
        del self
        made.append(last)
        clock.advance(taken[0])
        await asyncio.sleep(0)
        return UsageReport(last="24h", since=0, until=len(made))

    monkeypatch.setattr(UsageReports, "_report", report)
    reports = UsageReports(Path("/nowhere"), Owners(Keys("default", environ)), clock, gateways=list)
    first = await until_made(reports)
    for _ in range(50):
        assert reports.now("24h") is first
        await asyncio.sleep(0)
    assert made == ["24h"]
    taken[0] = 30.0
    clock.advance(usage_reports.FRESH_S)
    assert reports.now("24h") is first, "the old one is shown until there is another"
    await asyncio.sleep(0.01)
    second = reports.now("24h")
    assert second is not None and second is not first
    clock.advance(599)
    reports.now("24h")
    await asyncio.sleep(0.01)
    assert len(made) == 2, "a process that takes 30 seconds works again after 600"
    clock.advance(2)
    reports.now("24h")
    await asyncio.sleep(0.01)
    assert len(made) == 3


async def test_a_process_that_fails_is_reported_and_tried_again(
    environ: dict[str, str], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(usage_reports, "_PROGRAM", "bateau.nowhere")
    clock = ManualClock(wall=time.time())
    reports = UsageReports(fill(environ, clock.wall()), Owners(Keys("default", environ)), clock, gateways=list)
    with caplog.at_level(logging.ERROR):
        failed = await until_made(reports)
    assert failed.trouble is not None and "bateau logs control" in failed.trouble
    assert "bateau.nowhere" in caplog.text
    monkeypatch.setattr(usage_reports, "_PROGRAM", usage_process.__name__)
    clock.advance(usage_reports.FRESH_S)
    assert (await until_made(reports, but=failed)).trouble is None
    await reports.close()


async def test_closing_ends_the_process(environ: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(usage_reports, "_PROGRAM", "http.server")  # it never ends by itself
    reports = UsageReports(Path("/nowhere"), Owners(Keys("default", environ)), ManualClock(), gateways=list)
    assert reports.now("24h") is None
    await asyncio.sleep(0.3)
    async with asyncio.timeout(5):
        await reports.close()
