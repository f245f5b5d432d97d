"""Where the value of one field came from, step by step.

Made by hydrate and render as they make values; printed by explain, plan and policy.
"""

import functools
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from bateau.kit.position import Position, below, shifted, unshifted

How = Literal["written", "default", "patch", "expression", "value", "rule", "foreign"]


@dataclass(frozen=True, slots=True)
class Origin:
    """One step in the making of a value.

    `how`: written in the document; the schema's default; set by a patch; result of an expression; a value that the
    expression read from an environment, or the template from the values of its chart; made by a rule of a render
    target; taken from a foreign document (a manifest, a kustomization, a template), where `says` tells how far it is
    known.
    `at` is None for defaults and rules, and for a search that ended early. `says` is the expression, the patch's match,
    or the rule in words.
    """

    how: How
    at: Position | None
    value: Any
    says: str | None = None


# Oldest step first; the last one gave the value. Paths as in kit.position: "spec.ports.http.port".
Origins = Mapping[str, tuple[Origin, ...]]


class Places(Protocol):
    """Where the parts of one object were written. Paths as in Origins; "" is the object itself.

    Unlike a chain, a place must not need a search: most findings are only placed, and never explained.
    """

    def at(self, path: str) -> Position | None:
        """Return the place of a value, or the nearest place that is known."""
        ...

    def key_at(self, path: str) -> Position | None:
        """Return the place of a field's name where it is known."""
        ...


class LazyOrigins(Mapping[str, tuple[Origin, ...]]):
    """The chain of every leaf, worked out when the first is asked for: most are never explained.

    `places` answers where a part was written without working out the chains.
    """

    def __init__(self, make: Callable[[], Origins], places: Places | None = None) -> None:
        self._make = make
        self.places = places

    @functools.cached_property
    def _chains(self) -> Origins:
        return self._make()

    def __getitem__(self, path: str) -> tuple[Origin, ...]:
        return self._chains[path]

    def __iter__(self) -> Iterator[str]:
        return iter(self._chains)

    def __len__(self) -> int:
        return len(self._chains)


class OverlaidOrigins(Mapping[str, tuple[Origin, ...]]):
    """Origins with some replaced: what `base` has at, below and around a `replaced` path is hidden by `over`.

    The chains of `continued` paths continue those of `base`, which are asked for no sooner than these.
    """

    def __init__(
        self, base: Origins, over: Origins, *, replaced: Mapping[str, Position | None], continued: Collection[str] = ()
    ) -> None:
        self.base = base
        self._over = over
        self._replaced = replaced
        self._continued = frozenset(continued)

    @functools.cached_property
    def over(self) -> Origins:
        """The chains that stand instead of those of `base`, whole."""
        return {
            path: (*(self.base.get(path, ()) if path in self._continued else ()), *steps)
            for path, steps in self._over.items()
        }

    def set_at(self, path: str, over: Origins, at: Position | None) -> "OverlaidOrigins":
        """Return the origins after the edit at `at` replaced or removed `path`; flat, however often that is done."""
        kept = {
            each: chain
            for each, chain in self._over.items()
            if each != path and not below(each, path) and not below(path, each)
        }
        continued = self._continued & kept.keys()
        if path in over and path in self._over:
            over = {**over, path: (*self._over[path], *over[path])}
            continued |= self._continued & {path}
        elif path in over and not self._hidden(path):
            continued |= {path}
        return OverlaidOrigins(self.base, {**kept, **over}, replaced={**self._replaced, path: at}, continued=continued)

    def place(self, path: str, *, of_key: bool) -> Position | None:
        """Return what `place` returns. The chains of `base` are not worked out for it."""
        if self._hidden(path) and path not in self._around:
            steps = self._over.get(path) or next((each for at, each in self._over.items() if below(at, path)), ())
            if found := _last(steps) or self._replaced.get(path):
                return found
        return place(self.base, path, of_key=of_key)

    def __getitem__(self, path: str) -> tuple[Origin, ...]:
        if path in self._over:
            return self.over[path]
        if self._hidden(path):
            raise KeyError(path)
        return self.base[path]

    def __iter__(self) -> Iterator[str]:
        yield from (path for path in self.base if path not in self._over and not self._hidden(path))
        yield from self._over

    def __len__(self) -> int:
        return sum(1 for _ in self)

    @functools.cached_property
    def _around(self) -> frozenset[str]:
        return frozenset(each for path in self._replaced for each in _ancestors(path))

    def _hidden(self, path: str) -> bool:
        """Whether a path was replaced, or one around it, or one below it."""
        return path in self._replaced or path in self._around or any(p in self._replaced for p in _ancestors(path))


class ShiftedOrigins(Mapping[str, tuple[Origin, ...]]):
    """Origins without the list item at `removed`: the items after it have moved up. Works out no chain by itself."""

    def __init__(self, base: Origins, removed: str) -> None:
        self.base = base
        self._removed = removed

    def place(self, path: str, *, of_key: bool) -> Position | None:
        """Return what `place` returns."""
        return place(self.base, unshifted(path, self._removed), of_key=of_key)

    def __getitem__(self, path: str) -> tuple[Origin, ...]:
        return self.base[unshifted(path, self._removed)]

    def __iter__(self) -> Iterator[str]:
        for path in self.base:
            if path != self._removed and not below(path, self._removed):
                yield shifted(path, self._removed)

    def __len__(self) -> int:
        return sum(1 for _ in self)


def removed(base: Origins, path: str, at: Position) -> Origins:
    """Return origins without the field or the list item at `path`. `at` is where its removal is written."""
    is_item = path.endswith("]") and path[-2].isdecimal()
    return ShiftedOrigins(base, path) if is_item else overlaid(base, path, {}, at)


def overlaid(base: Origins, path: str, over: Origins, at: Position | None = None) -> OverlaidOrigins:
    """Return origins in which the value at `path` is replaced; a chain at `path` itself continues that of `base`."""
    laid = base if isinstance(base, OverlaidOrigins) else OverlaidOrigins(base, {}, replaced={})
    return laid.set_at(path, over, at)


def place(origins: Origins, path: str = "", *, of_key: bool = False) -> Position | None:
    """Return where a field was written, else the nearest place that is known; without a path, the object's place.

    `of_key`: the place of the field's name and not of its value, where both are known. Never starts a search for
    origins.
    """
    if isinstance(origins, OverlaidOrigins | ShiftedOrigins):
        return origins.place(path, of_key=of_key)
    if isinstance(origins, LazyOrigins) and origins.places is not None:
        return (origins.places.key_at(path) if of_key else None) or origins.places.at(path)
    chain = origins.get(path) or next((each for at, each in origins.items() if path and below(at, path)), ())
    return _last(chain) or _last(origins.get("metadata.name", ()))


def _last(chain: tuple[Origin, ...]) -> Position | None:
    return next((origin.at for origin in reversed(chain) if origin.at), None)


def _ancestors(path: str) -> Iterator[str]:
    while path := path[: max(path.rfind("."), path.rfind("["), 0)]:
        yield path
