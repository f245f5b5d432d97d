"""The sums of a ledger beside the counters of engines."""

from bateau.domain.closure import EngineCounts, closures
from bateau.domain.used import Used


def used(replica: str, at: float = 100.0, **more: object) -> Used:
    about = {"at": at, "id": "r", "path": "/v1/completions", "status": 200, "replica": replica, **more}
    return Used(**about, tokens_in=10, tokens_out=5)  # pyright: ignore[reportArgumentType]


def test_sums_are_those_since_the_process_of_the_engine_began() -> None:
    requests = [used("a", 10.0), used("a", 49.0, duration_ms=2000), used("a"), used("b"), used("gone")]
    found = closures(requests, [EngineCounts(replica="a", since=50.0, tokens_in=20, tokens_out=10)])
    (a,) = found
    assert (a.sum.requests, a.sum.tokens_in, a.sum.tokens_out, a.difference) == (2, 20, 10, 0.0)


def test_the_difference_is_that_of_both_sums() -> None:
    """Too many tokens in one sum do not make up for too few in the other."""
    engine = EngineCounts(replica="a", since=0.0, tokens_in=8, tokens_out=7)
    (found,) = closures([used("a")], [engine])
    assert found.difference == 4 / 15


def test_an_engine_without_counters_is_not_checked() -> None:
    (found,) = closures([used("a")], [EngineCounts(replica="a", since=0.0, tokens_in=None, tokens_out=5)])
    assert found.difference is None
    (idle,) = closures([], [EngineCounts(replica="a", since=0.0, tokens_in=0, tokens_out=0)])
    assert idle.difference == 0.0
    (lost,) = closures([used("a")], [EngineCounts(replica="a", since=0.0, tokens_in=0, tokens_out=0)])
    assert lost.difference == 1.0
