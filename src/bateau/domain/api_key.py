"""An API key of the endpoint, without its secret: who may use which models, how often, and until when.

Made by store.keys and specs.kinds.key; read by traffic.envoy.key_filters, wiring.keys and cli.keys.
"""

from dataclasses import dataclass
from typing import Final

ALL_MODELS: Final = "*"
GLOB: Final = "[A-Za-z0-9*?._:/@+-]{1,200}"
REQUESTS_MAX: Final = 10**9  # Envoy counts with 32 bits


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiKey:
    """A key, without its secret: `sha256` is that of it, and `hint` its last four characters; empty before it has one.

    `models` are globs: `*` is any text and `?` any character. Times are in seconds since the epoch; without
    `expires_at` the key does not expire. Requests and tokens without a number are not limited.
    `concurrent` is how many requests may be in flight at once. `declared_at` is the place of its document in the specs,
    such as keys.yaml:3; None for a key that a command has created.
    Tokens are those of questions and answers together, charged after the answer; days and months are in UTC.
    """

    name: str
    owner: str
    created_at: float | None = None
    sha256: str = ""
    hint: str = ""
    models: tuple[str, ...] = (ALL_MODELS,)
    expires_at: float | None = None
    requests_per_minute: int | None = None
    concurrent: int | None = None
    tokens_per_minute: int | None = None
    tokens_per_day: int | None = None
    tokens_per_month: int | None = None
    note: str = ""
    declared_at: str | None = None

    @property
    def limits_tokens(self) -> bool:
        """Whether the key may use only a number of tokens in some period."""
        return (self.tokens_per_minute, self.tokens_per_day, self.tokens_per_month) != (None, None, None)

    def is_expired(self, now: float) -> bool:
        """Whether the key is no longer accepted at a time."""
        return self.expires_at is not None and self.expires_at <= now
