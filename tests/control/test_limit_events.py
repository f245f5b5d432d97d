"""The events of limits: each one once, and not each time that a minute is over."""

from bateau.control.limit_events import AGAIN_S, LimitEvents
from bateau.domain.used import Refusal

NOON = 43_200.0


def says(events: LimitEvents, now: float, *names: str, models: tuple[Refusal, ...] = ()) -> list[str]:
    found = list(events.new({name: {"ci": now + 60} for name in names}, models, now))
    assert all(event.warning and event.reason == "LimitReached" for event in found)
    return sorted(event.says for event in found)


def test_a_limit_has_its_key_its_unit_and_its_end() -> None:
    assert says(LimitEvents(), NOON, "minute", "day", "money-month") == [
        "the key ci used up the money per month: requests are refused until 1970-01-01T12:01:00Z",
        "the key ci used up the tokens per day: requests are refused until 1970-01-01T12:01:00Z",
        "the key ci used up the tokens per minute: requests are refused until 1970-01-01T12:01:00Z",
    ]


def test_the_limit_of_a_model_is_in_the_story_of_the_model() -> None:
    refusals = (Refusal(model="chat", key=None, until=NOON), Refusal(model="chat", key="ci", until=NOON))
    found = sorted(LimitEvents().new({}, refusals, NOON), key=lambda event: event.says)
    assert [(event.says.partition(":")[0], event.fields["service"]) for event in found] == [
        ("all clients together used up the tokens per minute at model chat", "model/chat"),
        ("the key ci used up the tokens per minute at model chat", "model/chat"),
    ]
    assert [event.fields.get("key") for event in found] == [None, "ci"]


def test_a_limit_that_is_reached_again_and_again_is_one_event_in_ten_minutes() -> None:
    events = LimitEvents()
    reached = 0
    for minute in range(30):
        at = NOON + 60 * minute
        reached += len(says(events, at, "minute"))
        assert says(events, at + 1, "minute") == [], "it is still reached"
        assert says(events, at + 30) == []
    assert reached == 30 * 60 / AGAIN_S
