"""Tokens of requests whose answer is not known whole are estimated by those of others; all others stay as they are."""

import random

from bateau.domain.estimate import Estimator, with_estimates
from bateau.domain.used import Used, summary

CHAT = "/v1/chat/completions"


def used(**more: object) -> Used:
    about = {"at": 1.0, "id": "r", "path": CHAT, "status": 200, "model": "chat", "replica": "model.chat.0", **more}
    return Used(**about)  # pyright: ignore[reportArgumentType]


def counted(bytes_in: int, tokens_in: int, tokens_out: int = 20, **more: object) -> Used:
    return used(bytes_in=bytes_in, tokens_in=tokens_in, tokens_out=tokens_out, duration_ms=1000, **more)


def test_what_an_answer_says_stays_as_it_is() -> None:
    whole = [counted(100, 50), counted(300, 90), used(status=404), used(tokens_in=None), used(client_gone=True)]
    found = list(with_estimates(whole, list))
    assert found[:4] == whole[:4]
    assert [each.estimated for each in found] == [False] * 4 + [True]


def test_a_question_has_tokens_by_its_bytes_and_the_template_of_its_path() -> None:
    """30 tokens of a template, and a token for five bytes; at another path there is no template."""
    known = [counted(n, 30 + n // 5) for n in range(100, 1000, 50)]
    plain = [counted(n, n // 5, path="/v1/completions") for n in range(100, 1000, 50)]
    left = [used(bytes_in=500, client_gone=True, events=4), used(bytes_in=500, cut=True, path="/v1/completions")]
    found = list(with_estimates([*known, left[0], *plain], lambda: left[1:]))
    assert [each.tokens_in for each in found[-2:]] == [130, 100]
    assert [each.estimated for each in found[-2:]] == [True, True]


def test_a_stream_has_a_token_for_each_event_and_one_that_nobody_heard() -> None:
    estimator = Estimator()
    found = [
        estimator.estimate(used(events=12, path=path)).tokens_out
        for path in (CHAT, "/v1/completions", "/v1/messages", "/v1/responses")
    ]
    assert found == [12, 13, 11, 9]


def test_an_engine_that_has_not_begun_has_no_tokens() -> None:
    estimator = Estimator()
    for each in (used(events=0, bytes_in=900), used(replica=None, bytes_in=900)):
        found = estimator.estimate(each)
        assert (found.tokens_in, found.tokens_out, found.estimated) == (0, 0, True)


def test_an_input_that_the_stream_has_said_is_not_estimated() -> None:
    """Anthropic's first event has the tokens of the question, and says that there is no answer yet."""
    left = used(path="/v1/messages", events=7, tokens_in=33, tokens_out=0, client_gone=True, bytes_in=9000)
    (found,) = with_estimates([left], list)
    assert (found.tokens_in, found.tokens_out) == (33, 6)


def test_an_answer_that_has_said_all_of_its_tokens_is_not_estimated_if_its_client_leaves_then() -> None:
    """As a translator does, which closes its connection after the last event."""
    whole = [
        counted(100, 50, 20, client_gone=True, events=22, stop_reason="stop"),
        counted(100, 50, 20, client_gone=True, events=24, path="/v1/responses"),
        counted(100, 50, 20, client_gone=True, events=24, path="/v1/messages", stop_reason="end_turn"),
    ]
    assert list(with_estimates(whole, list)) == whole


def test_a_question_whose_tokens_are_missing_in_an_answer_is_estimated() -> None:
    known = [counted(n, 30 + n // 5, path="/v1/messages") for n in range(100, 1000, 50)]
    lacks = used(path="/v1/messages", bytes_in=500, tokens_out=7, stop_reason="end_turn", events=9)
    found = list(with_estimates([*known, lacks], list))[-1]
    assert (found.tokens_in, found.tokens_out, found.estimated) == (130, 7, True)


def test_an_answer_that_is_no_stream_is_estimated_by_its_time() -> None:
    known = [counted(100, 50, 20) for _ in range(5)]  # 20 tokens a second
    left = [used(client_gone=True, status=0, bytes_in=100, duration_ms=ms) for ms in (100, 1100)]
    found = list(with_estimates([*known, *left], list))[-2:]
    assert [each.tokens_out for each in found] == [20, 20]  # an engine looks once a second; no answer had more
    assert [each.tokens_in for each in found] == [50, 50]


def test_sums_say_for_how_many_tokens_are_estimated() -> None:
    known = [counted(100, 50) for _ in range(3)]
    found = summary(with_estimates(known, lambda: [used(cut=True, status=0, bytes_in=100)]), "model", owners={})
    assert (found.total.sum.requests, found.total.sum.estimated, found.total.sum.errors) == (4, 1, 1)
    assert (found.total.sum.tokens_in, found.total.sum.tokens_out) == (200, 80)


def test_a_cut_answer_has_half_of_a_stream_or_nearly_all_of_another_one() -> None:
    for events, tokens in ((20, 11), (None, 20)):
        known = [counted(100, 50, 20, events=events) for _ in range(3)]
        found = list(with_estimates(known, lambda: [used(cut=True, status=0, bytes_in=100)]))[-1]
        assert found.tokens_out == tokens


def test_any_numbers_give_an_estimate() -> None:
    rng = random.Random(7)  # noqa: S311 - no secret
    for _ in range(300):
        known = [
            counted(rng.randrange(10**6), rng.randrange(10**5), rng.randrange(500)) for _ in range(rng.randrange(5))
        ]
        left = used(client_gone=True, bytes_in=rng.randrange(10**7), duration_ms=rng.choice([None, 0, 10**7]))
        found = list(with_estimates([*known, left], list))[-1]
        assert found.tokens_in is not None and found.tokens_in >= 0
        assert found.tokens_out is not None and found.tokens_out >= 0
