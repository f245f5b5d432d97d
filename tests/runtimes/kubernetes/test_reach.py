"""Whether an API server can be reached, from the ends of requests."""

import socket

from bateau.runtimes.kubernetes.reach import Reach, kept_alive
from bateau.testing import ManualClock

AWAY = "cannot reach berlin: Connection refused"


def test_a_change_is_told_once_and_any_answer_ends_it() -> None:
    clock = ManualClock()
    reach, told = Reach(monotonic=clock.monotonic), list[tuple[str | None, float]]()
    reach.on_change(lambda: told.append((reach.unreachable, reach.lasted_s)))
    clock.advance(7)
    for _ in range(5):
        reach.failed(AWAY)
    clock.advance(12)
    reach.answered()
    reach.answered()
    assert told == [(AWAY, 7.0), (None, 12.0)]


def test_one_failed_connection_between_answers_says_nothing() -> None:
    reach = Reach()
    for _ in range(3):
        reach.failed(AWAY)
        assert reach.unreachable is None
        reach.answered()


def test_a_request_that_was_given_its_time_is_sure_by_itself() -> None:
    reach = Reach()
    reach.failed("no answer within 5 s", is_sure=True)
    assert reach.unreachable == "no answer within 5 s"


def test_the_kernel_probes_a_silent_connection() -> None:
    with kept_alive((socket.AF_INET, socket.SOCK_STREAM, 0, "", ("127.0.0.1", 1))) as made:
        assert made.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        assert made.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 10
