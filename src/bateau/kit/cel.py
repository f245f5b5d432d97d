"""Evaluate CEL expressions over plain values.

Called by domain.expression, hydrate, policy.judging and policy.written. kit.cel_library compiles; kit.cel_reading says
what an expression reads.

What an expression may cost is bounded: by its length, by the library's budget of 10,000 iterations, and by how much
its text may make values grow (kit.cel_cost).

Invariant: an expression sees only the names it was given.
"""

from collections.abc import Mapping
from functools import cached_property, lru_cache
from math import isfinite
from typing import Any, Final, cast

from bateau.kit.cel_cost import growth, may_grow
from bateau.kit.cel_function import Function
from bateau.kit.cel_kubernetes import wrapped_text
from bateau.kit.cel_library import LENGTH_MAX, CelError, environment, program, run_error
from bateau.kit.cel_reading import mere_path, reading
from bateau.kit.position import leaves

__all__ = ["LENGTH_MAX", "CelError", "Scope", "evaluate", "result_type"]

GROWTH_MAX: Final = 1_000_000
GROWN_MAX: Final = 250_000_000
TEXT_MAX: Final = 1_000_000


class Scope:
    """Values that several expressions see; made once, as converting them costs more than most expressions."""

    def __init__(self, names: Mapping[str, Any], functions: tuple[Function, ...] = ()) -> None:
        """Bind `names`. `functions` are the caller's own, besides Kubernetes' libraries."""
        self._names = tuple(sorted(names))
        self._functions = functions
        self._values = names
        self._activation = environment(self._names, functions).Activation(dict(names))

    def value(self, expression: str) -> Any:
        """Return the value of `expression`; other expressions may be given it. Raises CelError."""
        try:
            compiled = program(expression, self._names, self._functions)
            optional, growing = _risks(expression, self._names, self._functions)
            if growing:
                self._check_size(expression)
            result = compiled.eval(self._activation)
            if result.type().name() == "ERROR":
                raise CelError(run_error(str(result.plain_value())))
            if optional and _holds_optional(result):
                raise CelError(_OPTIONAL)
            value = result.plain_value()
            if value is True or value is False:
                return value  # what nearly all rules give
        except RuntimeError as error:
            raise CelError(run_error(str(error))) from error
        except MemoryError as error:
            raise CelError("it takes more memory than there is") from error
        except TypeError as error:  # the library has no plain value for an optional
            raise CelError(_OPTIONAL) from error
        if isinstance(value, str) and len(value) > TEXT_MAX:
            raise CelError(f"the result has {len(value)} characters; at most {TEXT_MAX}")
        return _ordered(value)

    def _check_size(self, expression: str) -> None:
        """Refuse what may make its values grow beyond what this machine should hold. Raises CelError."""
        longest, whole = self._sizes
        found = reading(expression, self._names, self._functions)
        most = growth(found, longest) * ((whole if found.maps else longest) + len(expression))
        if most > GROWN_MAX:
            raise CelError(f"the expression may make its values grow to {most:.0e} characters; at most {GROWN_MAX:.0e}")

    @cached_property
    def _sizes(self) -> tuple[int, int]:
        """Characters of the longest value, and of all together."""
        sizes = [len(str(value)) for _, value in leaves(self._values)]
        return max(sizes, default=0), sum(sizes) + len(sizes)


_OPTIONAL: Final = "the result is an optional, or holds one; end with `.orValue(…)` or `.hasValue()`"


@lru_cache(maxsize=8192)
def _risks(expression: str, names: tuple[str, ...], functions: tuple[Function, ...]) -> tuple[bool, bool]:
    """Whether the result may hold an optional, and whether values may grow. Raises CelError."""
    optional = "?" in expression or "opt" in expression
    growing = may_grow(expression)
    if not (optional or growing):
        return False, False
    found = reading(expression, names, functions)
    times = growth(found)
    if times > GROWTH_MAX:
        raise CelError(f"the expression may make its values grow {times:.0e} times; at most {GROWTH_MAX:.0e}")
    return found.optional, times > 1


def _holds_optional(value: Any) -> bool:
    """Whether an optional stands somewhere in a list or map: the library's own conversion of one ends the process."""
    kind = value.type().name()
    if kind.startswith("LIST"):
        return any(map(_holds_optional, value.value()))
    if kind.startswith("MAP"):
        return any(map(_holds_optional, value.value().values()))
    return kind == "ERROR" or kind.startswith("optional")


def _ordered(value: Any) -> Any:
    """Return the value with the keys of its maps in order: the library gives them in another one in each process.

    Raises CelError for a type that the library itself does not take as a value.
    """
    if isinstance(value, dict):
        entries = cast("dict[Any, Any]", value)
        return {key: _ordered(entries[key]) for key in sorted(entries, key=lambda key: (type(key).__name__, key))}
    if isinstance(value, list):
        return [_ordered(each) for each in cast("list[Any]", value)]
    if value is None or isinstance(value, bool | int | float | str):
        return value
    kind = type(value).__name__
    raise CelError(f"the result is {_TEXT_ONLY[kind]}" if kind in _TEXT_ONLY else f"the result is of the type {kind}")


_TEXT_ONLY: Final = {
    kind: f"{called}; make it text with `string(…)`"
    for kind, called in (("timedelta", "a duration"), ("datetime", "a timestamp"), ("bytearray", "bytes"))
}


def _plain(value: Any) -> Any:
    """Return the value as a document can hold it; a quantity is its text. Raises CelError where none can."""
    if isinstance(value, list):
        return [_plain(each) for each in cast("list[Any]", value)]
    if isinstance(value, dict):
        entries = cast("dict[Any, Any]", value)
        if (text := wrapped_text(entries)) is not None:
            return text
        if other := [key for key in entries if not isinstance(key, str)]:
            raise CelError(f"the result has a map with the key {other[0]}; keys are strings")
        return {key: _plain(each) for key, each in entries.items()}
    if isinstance(value, float) and not isfinite(value):
        raise CelError(f"the result is {value}, which no document can hold")
    return value


def evaluate(expression: str, names: Mapping[str, Any], functions: tuple[Function, ...] = ()) -> Any:
    """Return the value of `expression` as a document can hold it. Raises CelError.

    >>> evaluate("1 + size(words)", {"words": ["a", "b"]})
    3
    >>> evaluate("quantity(limit).isGreaterThan(quantity('500m'))", {"limit": "1"})
    True
    >>> evaluate("quantity('500m').add(quantity('1'))", {})
    '1500m'
    >>> evaluate("wrods", {"words": []})
    Traceback (most recent call last):
    ...
    bateau.kit.cel_library.CelError: undeclared reference to 'wrods'
    """
    selected = _selected(expression, names)
    return _plain(Scope(names, functions).value(expression)) if selected is None else selected


_INTEGER_MAX: Final = 2**63


def _selected(expression: str, names: Mapping[str, Any]) -> str | int | None:
    """Return what a mere path such as `values.shop.replicas` leads to, None where that takes more than a look.

    Most expressions are of this kind, and the library takes longer to begin than all of them together.
    """
    steps = mere_path(expression)
    if steps is None or len(steps) == 1:
        return None
    value: Any = names
    for step in steps:
        if not isinstance(value, dict) or step not in value:
            return None
        value = cast("dict[str, Any]", value)[step]
    if isinstance(value, str):
        return value if len(value) <= TEXT_MAX else None
    return value if isinstance(value, int) and -_INTEGER_MAX <= value < _INTEGER_MAX else None


def result_type(expression: str, names: tuple[str, ...], functions: tuple[Function, ...] = ()) -> str:
    """Return the type that `expression` gives, as far as it is known: "BOOL", "STRING", "DYN". Raises CelError.

    >>> result_type("a == 1", ("a",)), result_type("a", ("a",))
    ('BOOL', 'DYN')
    """
    compiled = program(expression, names, functions)
    _risks(expression, names, functions)
    return str(compiled.return_type().name())
