"""Bound how many times larger than its input a CEL expression may make a value.

Called by kit.cel. The library bounds iterations, not memory.

Invariant: an expression that passes cannot fill the memory, for any input. Held by
tests/kit/test_cel.py::test_what_would_fill_the_memory_is_refused_before_it_does.
"""

from typing import Final

from bateau.kit.cel_reading import Call, Reading

_REPEATING: Final = frozenset({"replace", "format", "join"})
_REPEATED: Final = 64
_ENDLESS: Final = 1e300


def may_grow(expression: str) -> bool:
    """Whether the text has a word that could make a value grow. Most expressions have none and need no parsing."""
    return "map" in expression or any(word in expression for word in _REPEATING)


def growth(found: Reading, longest: int = 0) -> float:
    """Return how many times larger than its input a value may become, at most and roughly.

    `[s].map(x, x + x).map(x, x + x)` doubles at each step, within any budget of iterations: with M `map` and P pluses
    or list items, the worst is (1 + P/M) to the power of M. Each `replace`, `format` and `join` multiplies by a
    factor that follows from its literals; without literals, the factor is `longest`, and at least 64.

    >>> from bateau.kit.cel_reading import reading
    >>> growth(reading("a + b + c", "abc")), growth(reading("[s].map(x, x + x).map(x, x + x)", "s"))
    (1.0, 4.0)
    >>> growth(reading("a.replace('_', '-')", "a")), growth(reading("a.replace('a', 'aaaaa').replace('b', c)", "ac"))
    (1.0, 320.0)
    """
    times = 1.0
    for call in found.calls:
        if call.function in _REPEATING:
            times = min(times * _repeats(call, longest), _ENDLESS)
    if not found.maps:
        return times
    more = found.items + sum(call.function == "_+_" for call in found.calls)
    return min((1 + max(more, 1) / found.maps) ** found.maps * times, _ENDLESS)


def _repeats(call: Call, longest: int) -> float:
    """Return how many times longer than its input the result of a call may be."""
    texts = [call.arguments.get(index) for index in range(call.count)]
    match call.function, texts:
        case "replace", [str(old), str(new), *_]:
            return max(1.0, len(new) / len(old) if old else len(new) + 1.0)
        case "join", [str(between)]:
            return 1.0 + len(between)
        case "join", []:
            return 1.0
        case _:
            return float(max(_REPEATED, longest))
