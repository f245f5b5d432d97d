"""The facts that alerts depend on, each from its source."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import cast

import pytest

from bateau.domain.alert_rules import RULES, Fact
from bateau.domain.errors import ControlError, SourceUnreachable
from bateau.wiring import alert_facts
from bateau.wiring.alert_facts import watched
from bateau.wiring.remote import EndpointCertificate
from control.world import app, model
from wiring.alert_instance import AlertInstance, alert_instance

DAY_S = 86_400.0
OTHER = "hf://org/repo/other.gguf"
OF_CLUSTERS = {"cluster-unreachable", "drifted", "rollout-failed", "unscheduled"}


def seen(it: AlertInstance, name: str) -> list[tuple[str, str]] | None:
    assert it.alerts.sources
    now = it.world.clock.wall()
    found = it.alerts.sources.facts(it.world.control.snapshots.latest, (), now)
    assert set(found) | OF_CLUSTERS == {each.when.name for each in RULES if isinstance(each.when, Fact)}
    each = found[name]  # pyright: ignore[reportArgumentType]
    return None if each is None else [(one.subject, one.says) for one in each if one.holds]


async def test_an_instance_that_is_well_has_no_facts(tmp_path: Path):
    async with alert_instance(tmp_path, chat=model(), shop=app()) as it:
        assert it.alerts.sources
        found = it.alerts.sources.facts(it.world.control.snapshots.latest, (), it.world.clock.wall())
        assert [name for name, each in found.items() if each is None or [*each]] == []


def _raise(error: Exception) -> None:
    raise error


async def test_what_cannot_be_determined_is_unknown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    async with alert_instance(tmp_path, chat=model()) as it:
        it.budgets.refused = None
        assert seen(it, "budget-used") is None
        monkeypatch.setattr(it.keys, "load", lambda: _raise(ControlError("the keys cannot be read")))
        assert seen(it, "key-expires") is None
        assert it.alerts.sources
        assert it.alerts.sources.facts(None, (), 0.0)["specs-rejected"] is None
        unread = replace(it.world.status, written=None)
        assert it.alerts.sources.facts(unread, (), 0.0)["specs-rejected"] is None
        assert watched(it.world.control, None) is None


async def test_a_budget_and_its_end_are_named(tmp_path: Path):
    async with alert_instance(tmp_path, chat=model()) as it:
        it.budgets.refused = {"tokens-day": {"ci": 1_700_006_400.0}}
        assert seen(it, "budget-used") == [("key ci", "the budget of tokens-day is used up until 2023-11-15 00:00 UTC")]


async def test_a_certificate_is_told_two_weeks_before_its_end(tmp_path: Path):
    class Certificate:
        ends_at: float | None = None

    async with alert_instance(tmp_path, chat=model()) as it:
        made = Certificate()
        it.certificate = cast("EndpointCertificate", made)
        it.restart()
        assert seen(it, "certificate-expires") is None
        made.ends_at = it.world.clock.wall() + 15 * DAY_S
        assert seen(it, "certificate-expires") == []
        made.ends_at = it.world.clock.wall() + 13 * DAY_S
        assert seen(it, "certificate-expires") == [("endpoint", "it ends at 2023-11-27 22:13 UTC")]


async def test_a_full_disk_is_told_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    async with alert_instance(tmp_path, chat=model()) as it:
        it.directories = (tmp_path, tmp_path / "not" / "there")
        it.restart()
        assert seen(it, "disk-full") == []
        monkeypatch.setattr(alert_facts, "DISK_BYTES_MIN", 2**60)
        found = seen(it, "disk-full")
        assert found is not None
        assert [subject for subject, _ in found] == [str(tmp_path)], "both are on the same disk"


async def test_an_exception_that_ends_within_a_week_is_told(tmp_path: Path):
    def policy(until: str) -> str:
        return f"""\
apiVersion: bateau.dev/v1alpha1
kind: Policy
metadata: {{name: owners}}
spec:
  match: {{kinds: [App]}}
  rules: [{{name: few, check: spec.replicas < 9, message: "'too many'"}}]
  exceptions: [{{rules: [few], owner: team-shop, reason: moving, until: {until}}}]
"""

    async with alert_instance(tmp_path, shop=app(), owners=policy("2023-11-18")) as it:
        assert datetime.fromtimestamp(it.world.clock.wall(), UTC).date().isoformat() == "2023-11-14"
        assert seen(it, "exception-ends") == [("owners", "that of team-shop holds until 2023-11-18 (moving)")]
        it.world.texts.write("owners", policy("2024-01-01"))
        await it.world.until(lambda: seen(it, "exception-ends") == [])


async def test_specs_with_errors_are_told(tmp_path: Path):
    async with alert_instance(tmp_path, shop=app()) as it:
        it.world.texts.write("shop", app(replicas="many"))
        await it.world.until(lambda: it.world.status.specs_rejected)
        found = seen(it, "specs-rejected")
        assert found is not None
        assert found[0][0] == "specs"
        assert "replicas" in found[0][1]


async def test_a_model_that_cannot_be_fetched_is_not_down_too(tmp_path: Path):
    async with alert_instance(tmp_path, shop=app()) as it:
        it.world.texts.write("chat", model(source=OTHER))
        await it.world.until(lambda: it.world.control.fetches.is_fetching(OTHER))
        it.world.source.fail(OTHER, SourceUnreachable("no route to example.org"))
        await it.world.until(lambda: seen(it, "fetch-failed"))
        assert seen(it, "fetch-failed") == [("model/chat", "no route to example.org")]
        status = it.world.control.snapshots.latest
        assert {each.key: each.is_fetching for each in watched(it.world.control, status) or ()} == {
            "app/shop": False,
            "model/chat": True,
        }


async def test_a_fetch_that_is_under_way_is_neither_failed_nor_well(tmp_path: Path):
    async with alert_instance(tmp_path, shop=app(), chat=model()) as it:
        it.world.texts.write("chat", model(source=OTHER))
        await it.world.until(lambda: it.world.control.fetches.is_fetching(OTHER))
        assert it.alerts.sources
        found = it.alerts.sources.facts(it.world.control.snapshots.latest, (), 0.0)["fetch-failed"]
        assert [(each.subject, each.holds) for each in found or ()] == [("model/chat", None)]
        it.world.source.arrive(OTHER)
        await it.world.until(lambda: seen(it, "fetch-failed") == [] and it.world.status.rolled_out)
        assert it.alerts.sources.facts(it.world.control.snapshots.latest, (), 0.0)["fetch-failed"] == []


async def test_bounds_are_those_of_all_replicas(tmp_path: Path):
    specs = {"shop": app(replicas=2, resources={"memory": "64Mi", "cpu": "500m"}, slo={"availability": 99.9})}
    async with alert_instance(tmp_path, **specs, chat=model(slo={"ttftP95": "2s"})) as it:
        found = {each.key: each for each in watched(it.world.control, it.world.control.snapshots.latest) or ()}
        shop, chat = found["app/shop"], found["model/chat"]
        assert (shop.memory, shop.cpu, shop.queue, shop.slo.availability) == (2 * 64 * 2**20, 1.0, None, 99.9)
        assert (chat.memory, chat.slo.availability, chat.slo.latency_p95_s) == (None, 99.5, 2.0)
