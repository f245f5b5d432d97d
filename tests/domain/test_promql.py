"""The expressions of measures: whose series they match, and that each names what the metrics page has."""

import re

import pytest

from bateau.domain.measures import ACTIVE, MEASURES, REQUESTS, SLOW, Measure
from bateau.domain.promql import promql


@pytest.mark.parametrize("measure", MEASURES, ids=lambda each: each.name)
@pytest.mark.parametrize(("service", "is_model"), [("model/chat", True), ("app/shop", False)])
def test_every_measure_has_an_expression_without_a_gap(measure: Measure, service: str, is_model: bool) -> None:
    found = promql(measure, service, is_model=is_model, window="5m")
    assert "<" not in found and ">" not in found
    assert found.count("(") == found.count(")") and found.count("{") == found.count("}")
    assert ("[5m]" in found) == (measure.kind == "sum" or measure.name == "latency_p95")


def _pattern(expression: str, label: str) -> str:
    found = re.search(rf'{label}=~"([^"]*)"', expression)
    assert found
    return found[1].replace("\\\\", "\\")


@pytest.mark.parametrize(
    ("measure", "label", "mine", "others"),
    [
        (REQUESTS, "gen_ai_request_model", ["app/a-b/http"], ["app/a-bc/http", "app/a/http", "app/a-b", "x/app/a-b/p"]),
        (ACTIVE, "cluster", ["app/a-b", "app/a-b/http", "app/a-b#3"], ["app/a-bc", "app/a-bc/http", "app/a"]),
    ],
)
def test_an_expression_matches_the_series_of_its_service_only(
    measure: Measure, label: str, mine: list[str], others: list[str]
) -> None:
    pattern = _pattern(promql(measure, "app/a-b", is_model=False, window="5m"), label)
    assert all(re.fullmatch(pattern, each) for each in mine)
    assert not any(re.fullmatch(pattern, each) for each in others)


def test_a_bound_between_two_edges_is_interpolated() -> None:
    between = promql(SLOW, "model/chat", is_model=True, window="1m", bound_s=1.75)
    assert (
        '- 0.5 * sum(increase(gen_ai_server_time_to_first_token_seconds_bucket{gen_ai_request_model="chat",' in between
    )
    assert 'le=~"1([.]0)?"' in between and 'le=~"2.5"' in between
    at = promql(SLOW, "model/chat", is_model=True, window="1m", bound_s=2.5)
    assert "- 1 * sum" in at and "- 0 * sum" in at
