"""The conditions of alerts: error budgets as in the SRE workbook, bounds, and what is not known."""

import pytest

from bateau.control.alert_conditions import Facts, Seen, Verdict, Watched, verdicts
from bateau.domain.alert_rules import DAY_S, HOUR_S, RULES
from bateau.domain.measures import (
    ANSWERS,
    CPU,
    MEMORY,
    REPLICAS_READY,
    REPLICAS_WANTED,
    REQUESTS,
    RESTARTS,
    SERVER_ERRORS,
    SLOW,
    WAITING,
    Measure,
)
from bateau.domain.slo import Slo
from control.measured import FakeHistory

NOW = 1_800_000_000.0
CHAT = Watched(key="model/chat", slo=Slo(availability=99.5, latency_p95_s=5.0), cpu=2.0, memory=1000.0, queue=64.0)


def unexpected(what: str, error: Exception) -> None:
    raise AssertionError(what) from error


def holding(history: FakeHistory, service: Watched = CHAT, facts: Facts | None = None) -> dict[str, Verdict]:
    found = verdicts(RULES, [service], history, facts or {}, NOW, failed=unexpected)
    return {each.rule.name: each for each in found if each.holds is True}


def steady(
    history: FakeHistory, *, failed_in_1000: int, for_s: float, since: float = NOW, each: int = 1000, until: float = NOW
) -> None:
    """Add requests each minute up to now."""
    at = max(since - for_s, 0.0)
    while at <= until:
        history.add("model/chat", REQUESTS, each, at=at)
        history.add("model/chat", SERVER_ERRORS, each * failed_in_1000 / 1000, at=at)
        at += 60


def test_a_fast_burn_fires_and_says_by_how_much():
    history = FakeHistory()
    steady(history, failed_in_1000=80, for_s=HOUR_S)  # 16 times the budget
    found = holding(history)
    assert {"BateauErrorBudgetBurn", "BateauErrorBudgetBurnSlow"} == found.keys()
    assert found["BateauErrorBudgetBurn"].says == (
        "8.0 % of 60,000 requests in 1h failed, and 8.0 % of those in 5m; the objective allows 0.5 %"
    )


def test_a_burn_that_is_over_ends_with_the_short_window():
    history = FakeHistory()
    steady(history, failed_in_1000=200, for_s=600, since=NOW - 1860, until=NOW - 1860)
    steady(history, failed_in_1000=0, for_s=1800)
    assert "BateauErrorBudgetBurn" not in holding(history)
    assert "BateauErrorBudgetBurnSlow" in holding(history), "a large part of the budget of three days is used"


def test_a_burn_within_the_objective_fires_nothing():
    history = FakeHistory()
    steady(history, failed_in_1000=4, for_s=3 * DAY_S)
    assert holding(history) == {}


def test_a_slow_burn_is_a_warning_only():
    history = FakeHistory()
    steady(history, failed_in_1000=6, for_s=3 * DAY_S)
    assert [*holding(history)] == ["BateauErrorBudgetBurnSlow"]


@pytest.mark.parametrize(("failed", "fires"), [(9, False), (10, True)])
def test_few_failed_requests_fire_nothing(failed: int, fires: bool):
    history = FakeHistory()
    history.add("model/chat", REQUESTS, failed, at=NOW - 60)
    history.add("model/chat", SERVER_ERRORS, failed, at=NOW - 60)
    assert ("BateauErrorBudgetBurn" in holding(history)) == fires


def test_another_objective_moves_the_bound():
    history = FakeHistory()
    steady(history, failed_in_1000=80, for_s=HOUR_S)
    lax = Watched(key="model/chat", slo=Slo(availability=90))
    assert holding(history, lax) == {}
    steady(history, failed_in_1000=1000, for_s=HOUR_S, each=100_000)
    assert "BateauErrorBudgetBurn" in holding(history, lax), "an outage fires with any objective"


def test_slow_answers_fire():
    history = FakeHistory()
    history.add("model/chat", ANSWERS, 100, at=NOW - 60)
    history.add("model/chat", SLOW, 80, at=NOW - 60)
    (found,) = holding(history).values()
    assert found.rule.name == "BateauLatencyBudgetBurn"
    assert "80 % of 100 requests in 1h were answered too late" in found.says


def test_what_is_not_known_neither_holds_nor_ends():
    history = FakeHistory()
    judged = verdicts(RULES, [CHAT], history, {"fetch-failed": None}, NOW, failed=unexpected)
    found = {each.rule.name: each.holds for each in judged}
    assert set(found.values()) == {None}
    assert found["BateauFetchFailed"] is None
    history.add("model/chat", REQUESTS, 100, at=NOW - 60)
    found = {each.rule.name: each.holds for each in verdicts(RULES, [CHAT], history, {}, NOW, failed=unexpected)}
    assert found["BateauErrorBudgetBurn"] is None, "nobody knows how many of them failed"


def test_bounds_come_from_the_spec_and_a_service_without_one_is_never_above_it():
    history = FakeHistory()
    history.now["model/chat"] = {
        MEMORY.name: 950.0,
        WAITING.name: 64.0,
        REPLICAS_READY.name: 1,
        REPLICAS_WANTED.name: 1,
    }
    history.add("model/chat", CPU, 1190.0, at=NOW - 1)
    found = holding(history)
    assert {"BateauMemoryNearLimit", "BateauCPUSaturated", "BateauQueueFull"} == found.keys()
    assert found["BateauMemoryNearLimit"].says == "95 % of its limit"
    assert holding(history, Watched(key="model/chat", slo=Slo())) == {}


def test_restarts_are_counted_in_their_window():
    history = FakeHistory()
    for at in (NOW - 700, NOW - 500, NOW - 20):
        history.add("model/chat", RESTARTS, 1, at=at)
    assert holding(history) == {}
    history.add("model/chat", RESTARTS, 1, at=NOW)
    assert holding(history)["BateauRestartLoop"].says == "3 restarts in 10m"


def test_missing_replicas_are_told_from_a_service_that_is_down():
    history = FakeHistory()
    history.now["model/chat"] = {REPLICAS_READY.name: 1, REPLICAS_WANTED.name: 3}
    assert {name: each.says for name, each in holding(history).items()} == {
        "BateauReplicasMissing": "1 of 3 replicas are ready"
    }
    history.now["model/chat"] = {REPLICAS_READY.name: 0, REPLICAS_WANTED.name: 3}
    assert {*holding(history)} == {"BateauReplicasMissing", "BateauServiceDown"}
    history.now["model/chat"] = {REPLICAS_READY.name: 0, REPLICAS_WANTED.name: 0}
    assert holding(history) == {}, "it sleeps, or has no replicas"


def test_a_service_that_fetches_its_model_is_not_down():
    history = FakeHistory()
    history.now["model/chat"] = {REPLICAS_READY.name: 0, REPLICAS_WANTED.name: 1}
    assert holding(history, Watched(key="model/chat", slo=Slo(), is_fetching=True)) == {}


class _Odd(FakeHistory):
    def total(self, service: str, measure: Measure, *, since: float, until: float) -> float | None:
        if service == "app/odd":
            raise RuntimeError("a bug")
        return super().total(service, measure, since=since, until=until)


def test_a_bug_about_one_service_leaves_the_others():
    history, failed = _Odd(), list[str]()
    steady(history, failed_in_1000=80, for_s=HOUR_S)
    services = [Watched(key="app/odd", slo=Slo()), CHAT]
    found = list(verdicts(RULES, services, history, {}, NOW, failed=lambda what, _: failed.append(what)))
    assert "BateauErrorBudgetBurn" in {each.rule.name for each in found if each.holds and each.subject == "model/chat"}
    assert "BateauErrorBudgetBurn of app/odd" in failed
    odd = {each.rule.name: each.holds for each in found if each.subject == "app/odd"}
    assert odd["BateauErrorBudgetBurn"] is None


def test_a_fact_holds_for_its_subject():
    seen = Seen(subject="key ada", says="it expires in 3 days")
    (found,) = holding(FakeHistory(), facts={"key-expires": [seen]}).values()
    assert (found.subject, found.service, found.says) == ("key ada", None, "it expires in 3 days")
