"""Estimate the tokens of requests whose answer is not known whole, from those of others.

Called by cli.usage and wiring.usage_process. Pure.

An engine works for a client that leaves, and for one whose gateway was killed. Its counters contain that, so a ledger
without it would not close. Of a stream the events are known, each with one token; of another answer its time; of a
question its bytes. What tokens others of the same model had for theirs is known, too.

Invariant: only requests that nobody has counted are estimated, and each says so. Held by
tests/domain/test_estimate.py::test_what_an_answer_says_stays_as_it_is.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from http import HTTPStatus
from typing import Final

from bateau.domain.used import Used

# Events before that of the first token.
_MESSAGES: Final = "/v1/messages"
_EVENTS_BEFORE: Final = {"/v1/chat/completions": 1, _MESSAGES: 2, "/v1/responses": 4}
# Until others of the model have been counted: a token of a question has about four characters.
_BYTES_OF_A_TOKEN: Final = 4
# An engine notices that nobody listens when it sends the next event; if it sends none, once a second.
_TOKENS_UNHEARD: Final = 1
_LOOK_MS: Final = 1000


@dataclass(slots=True)
class _Known:
    """Sums over the counted requests of one model at one path; by least squares, its tokens follow from its bytes."""

    requests: int = 0
    streams: int = 0
    bytes_in: int = 0
    bytes_squared: int = 0
    tokens_in: int = 0
    bytes_by_tokens: int = 0
    tokens_out: int = 0
    tokens_out_max: int = 0
    duration_ms: int = 0

    def learn(self, used: Used, tokens_in: int) -> None:
        tokens_out = used.tokens_out or 0
        self.requests += 1
        self.streams += used.events is not None
        self.bytes_in += used.bytes_in
        self.bytes_squared += used.bytes_in**2
        self.tokens_in += tokens_in
        self.bytes_by_tokens += used.bytes_in * tokens_in
        self.tokens_out += tokens_out
        self.tokens_out_max = max(self.tokens_out_max, tokens_out)
        self.duration_ms += used.duration_ms or 0

    def tokens_of(self, bytes_in: int) -> int:
        """Return the tokens of a question."""
        if not self.bytes_in:
            return bytes_in // _BYTES_OF_A_TOKEN
        spread = self.requests * self.bytes_squared - self.bytes_in**2
        if not spread:
            return round(bytes_in * self.tokens_in / self.bytes_in)
        slope = (self.requests * self.bytes_by_tokens - self.bytes_in * self.tokens_in) / spread
        mean = self.tokens_in / self.requests
        return max(0, round(mean + slope * (bytes_in - self.bytes_in / self.requests)))

    def tokens_in_time(self, duration_ms: int) -> int:
        """Return the tokens of an answer that was left after a time."""
        if not self.duration_ms:
            return 0
        until = (duration_ms // _LOOK_MS + 1) * _LOOK_MS
        return min(self.tokens_out_max, round(until * self.tokens_out / self.duration_ms))

    def tokens_when_cut(self) -> int:
        """Return the tokens of an answer that was left at any moment: half of a stream, and most of another answer."""
        if not self.requests:
            return 0
        mean = self.tokens_out / self.requests
        streamed = self.streams / self.requests
        return round(streamed * (mean / 2 + _TOKENS_UNHEARD) + (1 - streamed) * mean)


class Estimator:
    """Learns from requests with known tokens, and estimates those of others."""

    def __init__(self) -> None:
        self._known: defaultdict[tuple[str | None, str], _Known] = defaultdict(_Known)

    def learn(self, used: Used) -> None:
        """Take a request into account if its tokens are known."""
        if used.tokens_in is not None and not used.estimated:
            self._known[used.model, used.path].learn(used, used.tokens_in)

    def estimate(self, used: Used) -> Used:
        """Return a request with estimated tokens; none if the engine had not begun to answer it."""
        if used.replica is None or used.events == 0:
            return replace(used, tokens_in=0, tokens_cached=0, tokens_out=0, estimated=True)
        known = self._known[used.model, used.path]
        tokens_in = known.tokens_of(used.bytes_in) if used.tokens_in is None else used.tokens_in
        tokens_out = used.tokens_out if _has_told(used) else _tokens_out(used, known)
        return replace(used, tokens_in=tokens_in, tokens_out=tokens_out, estimated=True)


def _tokens_out(used: Used, known: _Known) -> int:
    if used.events is not None:
        return max(0, used.events - _EVENTS_BEFORE.get(used.path, 0)) + _TOKENS_UNHEARD
    return known.tokens_when_cut() if used.duration_ms is None else known.tokens_in_time(used.duration_ms)


def is_left(used: Used) -> bool:
    """Whether an engine has worked for a request, and no whole answer has said how much."""
    left = used.client_gone and used.status in {0, HTTPStatus.OK} and not _has_told(used)
    # llama.cpp leaves out the first event of Anthropic's API, with the tokens of the question, if the first token is
    # not a whole character.
    return used.cut or left or (used.tokens_in is None and used.tokens_out is not None)


def _has_told(used: Used) -> bool:
    """Whether an answer has said all of its tokens. Anthropic's API says some at its beginning, and the reason last."""
    return used.tokens_out is not None and (used.stop_reason is not None or used.path != _MESSAGES)


def with_estimates(requests: Iterable[Used], cut: Callable[[], Iterable[Used]]) -> Iterator[Used]:
    """Yield requests; at the end those that clients have left, and the `cut` ones, with estimates by all others."""
    estimator = Estimator()
    left: list[Used] = []
    for used in requests:
        if is_left(used):
            left.append(used)
            continue
        estimator.learn(used)
        yield used
    for used in (*left, *cut()):
        yield estimator.estimate(used)
