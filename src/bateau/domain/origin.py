"""The origins of a field's value, step by step.

Made by hydrate and render as they make values; printed by explain, plan and policy.
"""

import functools
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal, Protocol

from bateau.kit.json_value import ReadJson
from bateau.kit.position import Position, below, shifted, unshifted

How = Literal["written", "default", "patch", "expression", "value", "rule", "foreign"]


@dataclass(frozen=True, slots=True)
class Origin:
    """One step in the chain that led to a value.

    `how` is one of: "written" in the document; the schema's "default"; set by a "patch"; the result of an "expression";
    a "value" of the environment that an expression read, or a chart value that a template read; made by a "rule" of a
    render target; or read from a "foreign" document (a manifest, a kustomization, a template), and `says` describes
    how exact the origin is.
    `at` is None for defaults and rules, and for a search that ended early. `says` is the expression, the patch's match,
    or the description of the rule.
    """

    how: How
    at: Position | None
    value: ReadJson
    says: str | None = None


# Oldest step first; the last step produced the value. Paths as in kit.position: "spec.ports.http.port".
Origins = Mapping[str, tuple[Origin, ...]]


class Places(Protocol):
    """The positions of the parts of one object. Paths are those of Origins; "" is the object itself.

    Unlike a chain, a position must be available without a search: most findings need only a position.
    """

    def at(self, path: str) -> Position | None:
        """Return the position of a value, or the nearest known position."""
        ...

    def key_at(self, path: str) -> Position | None:
        """Return the position of a field's name, if it is known."""
        ...


class LazyOrigins(Mapping[str, tuple[Origin, ...]]):
    """The chain of every leaf, computed at the first access: most are never explained.

    `places` has the positions of the parts, and needs no chain.
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
    """Origins in which `over` replaces the chains of `base` at, below and above each `replaced` path.

    The chains of `continued` paths begin with those of `base`, which are computed only when they are needed.
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
        """The complete chains that replace those of `base`."""
        return {
            path: (*(self.base.get(path, ()) if path in self._continued else ()), *steps)
            for path, steps in self._over.items()
        }

    def set_at(self, path: str, over: Origins, at: Position | None) -> "OverlaidOrigins":
        """Return the origins after the edit at `at` replaced or removed `path`. Repeated edits add no layers."""
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
        """Return the position of a field, as `place` does. Does not compute the chains of `base`."""
        if self._hidden(path) and path not in self._around:
            steps = self._over.get(path) or next((each for at, each in self._over.items() if below(at, path)), ())
            if found := _last(steps) or self._replaced.get(path):
                return found
        return place(self.base, path, of_key=of_key)

    def removal(self, path: str) -> Position | None:
        """Return what `removal` returns."""
        if any(at == path or below(at, path) for at in self._over):
            return None
        at = next((at for each in (path, *_ancestors(path)) if (at := self._replaced.get(each))), None)
        existed = at is not None and any(each == path or below(each, path) for each in self.base)
        return at if existed else removal(self.base, path)

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
        """Whether a path, a path above it or a path below it was replaced."""
        return path in self._replaced or path in self._around or any(p in self._replaced for p in _ancestors(path))


class ShiftedOrigins(Mapping[str, tuple[Origin, ...]]):
    """Origins without the list item at `removed`: the items after it have moved up. Computes no chain by itself."""

    def __init__(self, base: Origins, removed: str) -> None:
        self.base = base
        self._removed = removed

    def place(self, path: str, *, of_key: bool) -> Position | None:
        """Return the position of a field, as `place` does."""
        return place(self.base, unshifted(path, self._removed), of_key=of_key)

    def removal(self, path: str) -> Position | None:
        """Return what `removal` returns."""
        return removal(self.base, unshifted(path, self._removed))

    def __getitem__(self, path: str) -> tuple[Origin, ...]:
        return self.base[unshifted(path, self._removed)]

    def __iter__(self) -> Iterator[str]:
        for path in self.base:
            if path != self._removed and not below(path, self._removed):
                yield shifted(path, self._removed)

    def __len__(self) -> int:
        return sum(1 for _ in self)


def removed(base: Origins, path: str, at: Position) -> Origins:
    """Return origins without the field or the list item at `path`. `at` is the position of the removal."""
    is_item = path.endswith("]") and path[-2].isdecimal()
    return ShiftedOrigins(base, path) if is_item else overlaid(base, path, {}, at)


def overlaid(base: Origins, path: str, over: Origins, at: Position | None = None) -> OverlaidOrigins:
    """Return origins in which the value at `path` is replaced; a chain at `path` itself continues that of `base`."""
    laid = base if isinstance(base, OverlaidOrigins) else OverlaidOrigins(base, {}, replaced={})
    return laid.set_at(path, over, at)


def place(origins: Origins, path: str = "", *, of_key: bool = False) -> Position | None:
    """Return the position of a field, or the nearest known position; without a path, that of the object.

    With `of_key`, return the position of the field's name instead of its value, if it is known. Never starts a search
    for origins.
    """
    if isinstance(origins, OverlaidOrigins | ShiftedOrigins):
        return origins.place(path, of_key=of_key)
    if isinstance(origins, LazyOrigins) and origins.places is not None:
        return (origins.places.key_at(path) if of_key else None) or origins.places.at(path)
    chain = origins.get(path) or next((each for at, each in origins.items() if path and below(at, path)), ())
    return _last(chain) or _last(origins.get("metadata.name", ()))


def removal(origins: Origins, path: str) -> Position | None:
    """Return where the removal of a field that existed is written; None for every other path."""
    return origins.removal(path) if isinstance(origins, OverlaidOrigins | ShiftedOrigins) else None


def _last(chain: tuple[Origin, ...]) -> Position | None:
    return next((origin.at for origin in reversed(chain) if origin.at), None)


def _ancestors(path: str) -> Iterator[str]:
    while path := path[: max(path.rfind("."), path.rfind("["), 0)]:
        yield path
