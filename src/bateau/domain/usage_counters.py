"""Count requests and tokens by key, owner and model, in a bounded number of series.

Called by observe.usage_metrics, wiring.figures, wiring.measures and wiring.usage_counters. Pure.

Invariant: there are never more series than the bound and one; requests beyond it are in the last one, so that no
request is missing in the total. Held by tests/domain/test_usage_counters.py.
"""

from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Final

from bateau.domain.used import NO_KEY, NO_MODEL, UNKNOWN_OWNER, Sum, Used
from bateau.kit.json_value import ReadObject, is_object, text_at

SERIES_MAX: Final = 500


@dataclass(frozen=True, slots=True)
class Series:
    """The labels of a series."""

    key: str
    owner: str
    model: str


OTHER: Final = Series("(other)", "(other)", "(other)")


_COUNTS: Final = tuple(each.name for each in fields(Sum))


class UsageCounters:
    """The sums of all requests that were added, by series."""

    def __init__(self, sums: Mapping[Series, Sum] | None = None) -> None:
        self._sums = dict(sums or {})
        self._owners = {series.key: series.owner for series in self._sums}

    @property
    def is_full(self) -> bool:
        """Whether requests that no series is for are in the last one."""
        return len(self._sums) >= SERIES_MAX

    def add(self, used: Used, owners: Mapping[str, str]) -> None:
        """Count a request; `owners` are those of the keys that exist. A key that was revoked keeps its owner."""
        key = used.key or NO_KEY
        owner = used.owner or owners.get(key) if used.key else NO_KEY
        series = Series(key, owner or self._owners.get(key, UNKNOWN_OWNER), used.model or NO_MODEL)
        if series not in self._sums and self.is_full:
            series = OTHER
        self._owners[series.key] = series.owner
        self._sums.setdefault(series, Sum()).add(used)

    def forget(self, keys: Container[str]) -> None:
        """Forget the series of keys that are not among these, so that those of others have room."""
        kept = (NO_KEY, OTHER.key)
        self._sums = {series: each for series, each in self._sums.items() if series.key in kept or series.key in keys}
        self._owners = {series.key: series.owner for series in self._sums}

    def sums(self) -> Mapping[Series, Sum]:
        """Return a copy of the sums."""
        return {series: replace(each) for series, each in self._sums.items()}

    def trees(self) -> Sequence[ReadObject]:
        """Return the sums as JSON."""
        return [
            {**asdict(series), **{name: getattr(each, name) for name in _COUNTS}} for series, each in self._sums.items()
        ]


def by_model(sums: Mapping[Series, Sum]) -> Mapping[str, Sum] | None:
    """Return the sums of each model; None if those of some are together in the last series."""
    if OTHER in sums:
        return None
    found: dict[str, Sum] = {}
    for series, each in sums.items():
        found[series.model] = found.get(series.model, Sum()).plus(each)
    return found


def from_trees(trees: Sequence[object]) -> UsageCounters:
    """Return the counters of `UsageCounters.trees`."""
    return UsageCounters(dict(_read(trees)))


def _read(trees: Sequence[object]) -> Iterator[tuple[Series, Sum]]:
    for tree in trees:
        if is_object(tree):
            counts: dict[str, Any] = {name: value for name in _COUNTS if isinstance(value := tree.get(name), int)}
            yield Series(text_at(tree, "key"), text_at(tree, "owner"), text_at(tree, "model")), Sum(**counts)
