"""What one request has used, and sums of that.

Made by store.ledger; read by cli.usage, api.usage_json and wiring.usage_process. Pure.

Invariant: a number of tokens that is not known is not counted as 0: a sum says how many requests it lacks. Held by
tests/store/test_ledger.py.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from typing import Final, Literal

from bateau.domain.costs import CostSum, Rates, Tokens

By = Literal["key", "owner", "model", "day", "hour"]

NO_KEY: Final = "(no key)"
NO_MODEL: Final = "(no model)"
UNKNOWN_OWNER: Final = "(unknown)"
# The paths at which tokens are counted and none are used.
COUNTING: Final = (
    "/v1/messages/count_tokens",
    "/v1/responses/input_tokens",
    "/v1/chat/completions/input_tokens",
)
_USE_NONE: Final = frozenset((*COUNTING, "/tokenize"))
_ERROR: Final = 400
_NO_RATES: Final = Rates()
# The replicas of a model are model.NAME.NUMBER, an external API is model.NAME@HOST.
_REPLICA: Final = re.compile(r"[a-z]+\.(?P<name>[a-z0-9-]+)(?:\.\d+|@.+)", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Used:
    """One request. `at` is in seconds since the epoch; other times are in milliseconds.

    `key` is None where none was needed or sent, `owner` where a key and no token was, `model` where none that exists
    was named. `tokens_in` includes `tokens_cached`. Tokens are None if the answer did not say them. `client_gone`: it
    closed the connection before the answer was complete. `events` are those that a stream had, None for an answer that
    was none. `queue_ms` is the time that the engine did not work on it, None if the engine does not say its times.
    `cut`: its gateway ended before it. `estimated`: the tokens are not those of an answer, because it is not known
    whole. `balanced_by` says what chose the replica, "prefix" or "requests", if the model has affinity. `traceparent`
    is that of the client, in the form of W3C Trace Context. `broken`: the replica ended it before the answer was
    complete.
    """

    at: float
    id: str
    path: str
    status: int
    key: str | None = None
    owner: str | None = None
    model: str | None = None
    replica: str | None = None
    tokens_in: int | None = None
    tokens_cached: int | None = None
    tokens_out: int | None = None
    duration_ms: int | None = None
    first_byte_ms: int | None = None
    bytes_in: int = 0
    bytes_out: int = 0
    client_gone: bool = False
    events: int | None = None
    stop_reason: str | None = None
    queue_ms: int | None = None
    cut: bool = False
    estimated: bool = False
    balanced_by: str | None = None
    method: str = ""
    traceparent: str | None = None
    broken: bool = False

    @property
    def ended_at(self) -> float:
        """When the answer ended, in seconds since the epoch."""
        return self.at + (self.duration_ms or 0) / 1000

    @property
    def is_error(self) -> bool:
        """Whether there was no answer, or an answer with an error."""
        return self.status >= _ERROR or self.status == 0

    @property
    def answered_by(self) -> str | None:
        """The model that answered, which may be another one than the request named; None if it is not known.

        >>> Used(at=0, id="", path="", status=200, model="chat", replica="model.gpt-mini@api.example.org").answered_by
        'gpt-mini'
        """
        found = _REPLICA.fullmatch(self.replica or "")
        return found["name"] if found else self.model

    @property
    def tokens(self) -> Tokens | None:
        """The tokens that were used; None if they are not known. An error that does not say any has used none."""
        if self.tokens_in is None and self.tokens_out is None:
            return Tokens() if self.is_error or self.path in _USE_NONE else None
        return Tokens(input=self.tokens_in or 0, cached=self.tokens_cached or 0, output=self.tokens_out or 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """Requests for a model are refused until a time, in seconds since the epoch: those of a key, None: all."""

    model: str
    key: str | None
    until: float


@dataclass(slots=True)
class Sum:
    """The sum of requests; `errors` are those with a status of 400 or more, `uncounted` those without tokens.

    The tokens of `estimated` ones are in the sum.
    """

    requests: int = 0
    errors: int = 0
    tokens_in: int = 0
    tokens_cached: int = 0
    tokens_out: int = 0
    uncounted: int = 0
    estimated: int = 0

    def plus(self, other: "Sum") -> "Sum":
        """Return the sum of both."""
        return Sum(**{each.name: getattr(self, each.name) + getattr(other, each.name) for each in fields(self)})

    def add(self, used: Used) -> None:
        """Add one request."""
        self.requests += 1
        self.errors += used.is_error
        self.uncounted += used.tokens is None
        self.estimated += used.estimated
        self.tokens_in += used.tokens_in or 0
        self.tokens_cached += used.tokens_cached or 0
        self.tokens_out += used.tokens_out or 0


@dataclass(frozen=True, slots=True)
class Group:
    """The sum of some requests, and what they cost. The tokens of estimated ones are in both."""

    sum: Sum = field(default_factory=Sum)
    costs: CostSum = field(default_factory=CostSum)

    def add(self, used: Used, rates: Rates) -> None:
        """Add one request. `rates` are the costs of models."""
        self.sum.add(used)
        self.costs.add(used.tokens, rates.of(used.answered_by, used.at))


@dataclass(frozen=True, slots=True)
class Summary:
    """Groups of requests, in the order of their names, and all together."""

    by: Mapping[str, Group] = field(default_factory=dict[str, Group])
    total: Group = field(default_factory=Group)


def summary(requests: Iterable[Used], by: By, *, owners: Mapping[str, str], rates: Rates = _NO_RATES) -> Summary:
    """Return sums by key, owner, model, day or hour (in UTC).

    `owners` are those of the keys that exist, and `rates` the costs of models. A request with a token says its own
    owner, unless it was cut; then it is that of the request before it with a token of the same subject.
    """
    found = Sums((by,), owners=owners, rates=rates)
    for used in requests:
        found.add(used)
    return found.of(by)


class Sums:
    """Several sums of the same requests, which are added one by one; `owners` and `rates` as in `summary`."""

    def __init__(self, by: Sequence[By], *, owners: Mapping[str, str], rates: Rates = _NO_RATES) -> None:
        self._rates = rates
        self._owners = dict(owners)
        self._total = Group()
        self._groups: dict[By, dict[str, Group]] = {each: {} for each in by}

    def add(self, used: Used) -> None:
        """Add one request."""
        self._total.add(used, self._rates)
        if used.key and used.owner:
            self._owners[used.key] = used.owner
        for by, found in self._groups.items():
            name = _GROUPS[by](used, self._owners)
            group = found.get(name)
            if group is None:
                group = found[name] = Group()
            group.add(used, self._rates)

    def of(self, by: By) -> Summary:
        """Return the sums by one of the words that were asked for."""
        return Summary(by=dict(sorted(self._groups[by].items())), total=self._total)


def _day(used: Used, _: Mapping[str, str]) -> str:
    return datetime.fromtimestamp(used.at, UTC).strftime("%Y-%m-%d")


def _hour(used: Used, _: Mapping[str, str]) -> str:
    return datetime.fromtimestamp(used.at, UTC).strftime("%Y-%m-%dT%H:00Z")


def _owner(used: Used, owners: Mapping[str, str]) -> str:
    return used.owner or owners.get(used.key, UNKNOWN_OWNER) if used.key else NO_KEY


_GROUPS: Final[Mapping[By, Callable[[Used, Mapping[str, str]], str]]] = {
    "key": lambda used, _: used.key or NO_KEY,
    "owner": _owner,
    "model": lambda used, _: used.model or NO_MODEL,
    "day": _day,
    "hour": _hour,
}
