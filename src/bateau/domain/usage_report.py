"""What was used in a window of time, as the pages of the dashboard show it.

Made by wiring.usage_process; shown by ui.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal, get_args

from bateau.domain.used import By, Group, Summary

Last = Literal["24h", "7d", "30d"]
LASTS: Final[tuple[Last, ...]] = get_args(Last)
LAST_S: Final[Mapping[str, float]] = {"24h": 86_400.0, "7d": 7 * 86_400.0, "30d": 30 * 86_400.0}

Groups = Mapping[str, Group]


@dataclass(frozen=True, kw_only=True)
class UsageReport:
    """Sums of the ledger from `since` to `until`, in seconds since the epoch: those of `bateau usage` at `until`.

    `of_model` has the sums of each model by key, `of_key` those of each key by model. `tokens` are the names among the
    keys that came with a token of an issuer. `damaged` lines of the ledger are not in the sums. With a `trouble`,
    which gives the reason, the sums are missing.
    """

    last: Last
    since: float
    until: float
    by: Mapping[By, Summary] = field(default_factory=dict[By, Summary])
    of_model: Mapping[str, Groups] = field(default_factory=dict[str, Groups])
    of_key: Mapping[str, Groups] = field(default_factory=dict[str, Groups])
    tokens: frozenset[str] = frozenset()
    damaged: int = 0
    trouble: str | None = None
