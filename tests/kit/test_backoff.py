"""Delays between retries."""

from bateau.kit.backoff import Backoff


def test_the_delay_doubles_up_to_its_ceiling() -> None:
    assert [Backoff().delay_s(failures) for failures in range(10)] == [0, 1, 2, 4, 8, 16, 32, 60, 60, 60]


def test_a_seed_gives_the_same_delay_each_time_and_another_seed_another() -> None:
    spread = Backoff(jitter=0.5)
    delays = [spread.delay_s(9, seed=f"model.chat.{number}") for number in range(20)]
    assert delays == [spread.delay_s(9, seed=f"model.chat.{number}") for number in range(20)]
    assert len(set(delays)) == 20
    assert all(30 <= delay <= 60 for delay in delays)
