"""The answers of probes decide the state of a replica. Times are arguments, in seconds."""

import pytest

from bateau.domain.process import ProbePlan, ProbeTarget
from bateau.domain.replica import ReplicaState
from bateau.runtimes.local.health import Health

PLAN = ProbePlan(
    target=ProbeTarget(kind="tcp", address="127.0.0.1:1"),
    interval_s=5.0,
    timeout_s=2.0,
    failure_threshold=3,
    start_timeout_s=60.0,
)
SILENT = "no answer within 2 s"
REFUSED = "connection refused"


def ready() -> Health:
    return Health(PLAN, started=0.0, was_ready=True)


def test_the_first_good_answer_makes_ready() -> None:
    health = Health(PLAN, started=100.0)
    health.note(REFUSED, 100.1)
    assert (health.state, health.reason) == (ReplicaState.STARTING, REFUSED)
    health.note(None, 100.2)
    assert (health.state, health.reason) == (ReplicaState.READY, None)


def test_failures_while_starting_never_count_only_the_time_does() -> None:
    health = Health(PLAN, started=100.0)
    for _ in range(50):
        health.note(REFUSED, 159.9)
    assert health.restart_reason is None
    health.note(REFUSED, 160.0)
    assert health.restart_reason == "not ready within 60 s: connection refused"


@pytest.mark.parametrize(("waited", "delay"), [(0, 0.01), (1, 0.03), (2, 0.06), (40, 1.2), (59.5, 0.5), (70, 0.0)])
def test_a_starting_replica_is_asked_often_at_first_and_at_its_last_moment(waited: float, delay: float) -> None:
    assert Health(PLAN, started=100.0).delay_s(100.0 + waited) == pytest.approx(delay)


def test_no_probe_of_a_starting_replica_takes_longer_than_its_start_may() -> None:
    health = Health(PLAN, started=0.0)
    assert (health.timeout_s(0.0), health.timeout_s(59.0), health.timeout_s(60.0)) == (2.0, 1.0, 0.05)


def test_a_ready_replica_is_asked_at_the_interval() -> None:
    assert (ready().delay_s(7.0), ready().timeout_s(7.0)) == (5.0, 2.0)


@pytest.mark.parametrize("answer", [REFUSED, "answered 503: Loading model"])
def test_a_clear_no_takes_it_out_of_traffic_at_once(answer: str) -> None:
    health = ready()
    health.note(answer, 1.0)
    assert (health.state, health.reason, health.restart_reason) == (ReplicaState.UNREADY, answer, None)


def test_one_silence_may_be_a_busy_moment() -> None:
    health = ready()
    health.note(SILENT, 1.0)
    assert health.state is ReplicaState.READY
    health.note(SILENT, 2.0)
    assert (health.state, health.restart_reason) == (ReplicaState.UNREADY, None)


def test_failures_in_a_row_restart_it_and_a_good_answer_clears_them() -> None:
    health = ready()
    for answer in (SILENT, SILENT, None, REFUSED, SILENT):
        health.note(answer, 1.0)
    assert health.restart_reason is None
    health.note(REFUSED, 1.0)
    assert health.restart_reason == "failed 3 probes in a row: connection refused"


def silent_while(shares: list[float], *, step_s: float = 10.0) -> Health:
    """Return a replica that was silent again and again, with the share of a core that it used before each silence."""
    health, now, cpu_s = ready(), 0.0, 0.0
    for share in shares:
        now, cpu_s = now + step_s, cpu_s + share * step_s
        health.note(SILENT, now, cpu_s=cpu_s)
    return health


def test_a_replica_that_works_is_not_restarted_for_silence() -> None:
    """A2: 600 requests at once: the probe waited behind them, and all were lost with the replica."""
    health = silent_while([1.0] * 20)
    assert (health.state, health.restart_reason) == (ReplicaState.READY, None)
    assert health.reason == f"busy: {SILENT}"
    health.note(None, 1000.0)
    assert (health.state, health.reason) == (ReplicaState.READY, None)


def test_a_replica_that_only_keeps_a_timer_is_restarted_for_silence() -> None:
    health = silent_while([0.01] * 3)
    assert (health.state, health.restart_reason) == (ReplicaState.UNREADY, f"failed 3 probes in a row: {SILENT}")


def test_a_replica_that_stops_working_is_restarted_then() -> None:
    health = silent_while([1.0] * 10 + [0.0])
    assert (health.state, health.restart_reason) == (ReplicaState.UNREADY, None)
    assert silent_while([1.0] * 10 + [0.0] * 2).restart_reason == f"failed 3 probes in a row: {SILENT}"


def test_an_endless_loop_is_restarted_after_a_while() -> None:
    assert silent_while([1.0] * 31).restart_reason is None
    assert silent_while([1.0] * 33).restart_reason == f"failed 3 probes in a row: {SILENT}"


def test_a_clear_no_counts_however_busy_the_replica_is() -> None:
    health = silent_while([1.0] * 2)
    for _ in range(2):
        health.note(REFUSED, 30.0)
    assert health.restart_reason == f"failed 3 probes in a row: {REFUSED}"


def test_silence_counts_where_nobody_knows_whether_it_works() -> None:
    health = ready()
    for now in (10.0, 20.0, 30.0):
        health.note(SILENT, now)
    assert health.restart_reason == f"failed 3 probes in a row: {SILENT}"


def test_a_threshold_of_one_is_said_as_one() -> None:
    health = Health(ProbePlan(target=PLAN.target, failure_threshold=1), started=0.0, was_ready=True)
    health.note(SILENT, 1.0)
    assert (health.state, health.restart_reason) == (ReplicaState.UNREADY, f"failed 1 probe: {SILENT}")
