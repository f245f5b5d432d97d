"""Suggest the known name that an unknown name was probably meant to be.

Called by cli, control, hydrate, kit, observe, policy, render, runtimes, sources, specs, ui and wiring.

Invariant: the order of the candidates never changes the answer. Held by
tests/kit/test_suggest.py::test_the_order_of_candidates_does_not_matter.
Refused: difflib. Its ratio suggests `replicas` for `applications`, and misses two swapped letters.
"""

from collections.abc import Iterable
from functools import lru_cache

_SEPARATORS = str.maketrans("", "", "-_ ./")


def closest(word: str, candidates: Iterable[str]) -> str | None:
    """Return the candidate that `word` most likely meant, or None if none is similar.

    Spelling variants (`context_length`, `ContextLength`) count as equal; otherwise about one edit
    (insert, delete, replace, swap of neighbours) for every three letters is allowed.

    >>> closest("replcias", ["replicas", "resources"])
    'replicas'
    >>> closest("context_length", ["contextLength"])
    'contextLength'
    >>> closest("banana", ["replicas"]) is None
    True
    """
    plain = _plain(word)
    if not plain or len(plain) > 100:  # noqa: PLR2004 - the distance takes quadratic time, and nobody types a name that long
        return None
    allowed = min(max(1, len(plain) // 3), 4)
    best: tuple[int, int, str] | None = None
    for candidate in candidates:
        other = _plain(candidate)
        if abs(len(other) - len(plain)) > allowed:
            continue
        edits = 0 if other == plain else _distance(plain, other)
        if edits > allowed or edits >= len(other):
            continue
        rank = (edits, int(candidate[:1].lower() != word[:1].lower()), candidate)
        if best is None or rank < best:
            best = rank
    return best[2] if best else None


def did_you_mean(word: str, candidates: Iterable[str]) -> str | None:
    """Return a hint that names the closest candidate, or None.

    >>> did_you_mean("lama.cpp", ["llama.cpp", "vllm"])
    'did you mean `llama.cpp`?'
    """
    found = closest(word, candidates)
    return f"did you mean `{found}`?" if found is not None else None


def suggestion(word: str, names: Iterable[str], *, none: str) -> str:
    """Return a hint for an unknown name: the closest of `names`, or else all of them; `none` if there are none.

    >>> suggestion("prd", ["dev", "prod"], none="no Environment is defined")
    'did you mean `prod`?'
    >>> suggestion("staging", ["dev", "prod"], none="no Environment is defined")
    'available: dev, prod'
    """
    known = list(names)
    return did_you_mean(word, known) or (f"available: {listed(known)}" if known else none)


def listed(names: Iterable[str], *, limit: int = 12) -> str:
    """Return names as a list for people, truncated after `limit`.

    >>> listed(["a", "b", "c"], limit=2)
    'a, b and 1 more'
    """
    every = list(names)
    if len(every) <= limit:
        return ", ".join(every)
    return f"{', '.join(every[:limit])} and {len(every) - limit} more"


@lru_cache(maxsize=2**14)
def _plain(word: str) -> str:
    return word.translate(_SEPARATORS).lower()


def _distance(left: str, right: str) -> int:
    """Return the number of edits between two words (optimal string alignment: swapping neighbours is one edit)."""
    # Skip the common prefix and suffix: most names in a tree differ in a few letters only.
    start, end, shorter = 0, 0, min(len(left), len(right))
    while start < shorter and left[start] == right[start]:
        start += 1
    while end < shorter - start and left[-1 - end] == right[-1 - end]:
        end += 1
    left, right = left[start : len(left) - end], right[start : len(right) - end]
    if not left or not right:
        return len(left) + len(right)
    before: list[int] = []
    last = list(range(len(right) + 1))
    for row, here in enumerate(left, start=1):
        line = [row]
        for column, there in enumerate(right, start=1):
            cost = min(last[column] + 1, line[column - 1] + 1, last[column - 1] + (here != there))
            if row > 1 and column > 1 and here == right[column - 2] and left[row - 2] == there:
                cost = min(cost, before[column - 2] + 1)
            line.append(cost)
        before, last = last, line
    return last[-1]
