"""Evaluate CEL expressions over plain values.

Called by domain.expression, hydrate, policy.admission, policy.judging, policy.written,
runtimes.kubernetes.health_checks and specs.kinds.environment. kit.cel_library compiles expressions; kit.cel_reading
finds the names that they read.

The cost of an expression is bounded by its length, by the library's budget of 10,000 iterations, and by how much
larger than its input it can make a value (kit.cel_cost).

Invariant: an expression can read only the given names. Held by
tests/kit/test_cel.py::test_functions_of_the_caller_join_the_dialect.
"""

from functools import cached_property, lru_cache
from math import isfinite
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from bateau.kit.cel_cost import growth, may_grow
from bateau.kit.cel_function import Function
from bateau.kit.cel_kubernetes import wrapped_text
from bateau.kit.cel_library import LENGTH_MAX, CelError, environment, program, run_error
from bateau.kit.cel_reading import mere_path, reading
from bateau.kit.json_value import Json, ReadJson, ReadObject, Scalar
from bateau.kit.position import leaves

if TYPE_CHECKING:
    from cel_expr_python.cel import PlainValue, Value

__all__ = ["LENGTH_MAX", "CelError", "Scope", "evaluate", "result_type"]

# The keys of a map are texts, integers or booleans.
_Value: TypeAlias = "dict[str | int, _Value] | list[_Value] | Scalar"

GROWTH_MAX: Final = 1_000_000
GROWN_MAX: Final = 250_000_000
TEXT_MAX: Final = 1_000_000


class Scope:
    """Values for several expressions. They are converted once, which takes longer than evaluating most expressions."""

    def __init__(self, names: ReadObject, functions: tuple[Function, ...] = ()) -> None:
        """Bind `names`. `functions` are available in addition to Kubernetes' libraries."""
        self._names = tuple(sorted(names))
        self._functions = functions
        self._values = names
        self._activation = environment(self._names, functions).Activation(dict(names))

    def value(self, expression: str) -> Any:
        """Return the value of `expression`, which may be bound to a name in other expressions. Raises CelError."""
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
                return value  # the result of nearly all rules
        except RuntimeError as error:
            raise CelError(run_error(str(error))) from error
        except MemoryError as error:
            raise CelError("it needs more memory than is available") from error
        except TypeError as error:  # the library cannot convert an optional
            raise CelError(_OPTIONAL) from error
        if isinstance(value, str) and len(value) > TEXT_MAX:
            raise CelError(f"the result has {len(value)} characters; at most {TEXT_MAX}")
        return _ordered(value)

    def _check_size(self, expression: str) -> None:
        """Reject an expression whose values could fill the memory. Raises CelError."""
        longest, whole = self._sizes
        found = reading(expression, self._names, self._functions)
        most = growth(found, longest) * ((whole if found.maps else longest) + len(expression))
        if most > GROWN_MAX:
            raise CelError(f"the expression may make its values grow to {most:.0e} characters; at most {GROWN_MAX:.0e}")

    @cached_property
    def _sizes(self) -> tuple[int, int]:
        """The number of characters of the longest value, and of all values together."""
        sizes = [len(str(value)) for _, value in leaves(self._values)]
        return max(sizes, default=0), sum(sizes) + len(sizes)


_OPTIONAL: Final = "the result is or contains an optional; end with `.orValue(…)` or `.hasValue()`"


@lru_cache(maxsize=8192)
def _risks(expression: str, names: tuple[str, ...], functions: tuple[Function, ...]) -> tuple[bool, bool]:
    """Whether the result may contain an optional, and whether values may grow. Raises CelError."""
    optional = "?" in expression or "opt" in expression
    growing = may_grow(expression)
    if not (optional or growing):
        return False, False
    found = reading(expression, names, functions)
    times = growth(found)
    if times > GROWTH_MAX:
        raise CelError(f"the expression may make its values grow {times:.0e} times; at most {GROWTH_MAX:.0e}")
    return found.optional, times > 1


def _holds_optional(value: "Value") -> bool:
    """Whether a value is or contains an optional. Converting one in a list or map would abort the process."""
    kind = value.type().name()
    if kind.startswith("LIST"):
        return any(map(_holds_optional, value.value()))
    if kind.startswith("MAP"):
        return any(map(_holds_optional, value.value().values()))
    return kind == "ERROR" or kind.startswith("optional")


def _ordered(value: "PlainValue") -> _Value:
    """Return the value with the keys of its maps sorted, because the library's order differs from process to process.

    Raises CelError for a type that the library does not accept as an input.
    """
    if isinstance(value, dict):
        keys = [key for key in value if isinstance(key, str | int)]
        return {key: _ordered(value[key]) for key in sorted(keys, key=lambda key: (type(key).__name__, key))}
    if isinstance(value, list):
        return [_ordered(each) for each in value]
    if value is None or isinstance(value, bool | int | float | str):
        return value
    kind = type(value).__name__
    raise CelError(f"the result is {_TEXT_ONLY[kind]}" if kind in _TEXT_ONLY else f"the result has the type {kind}")


_TEXT_ONLY: Final = {
    kind: f"{called}; make it text with `string(…)`"
    for kind, called in (("timedelta", "a duration"), ("datetime", "a timestamp"), ("bytearray", "bytes"))
}


def _plain(value: _Value) -> Json:
    """Return the value as plain YAML; a quantity becomes its text. Raises CelError if YAML cannot represent it."""
    if isinstance(value, list):
        return [_plain(each) for each in value]
    if isinstance(value, dict):
        entries = {key: each for key, each in value.items() if isinstance(key, str)}
        if other := [key for key in value if not isinstance(key, str)]:
            raise CelError(f"the result has a map with the key {other[0]}; keys must be strings")
        if (text := wrapped_text(entries)) is not None:
            return text
        return {key: _plain(each) for key, each in entries.items()}
    if isinstance(value, float) and not isfinite(value):
        raise CelError(f"the result is {value}, which a document cannot contain")
    return value


def evaluate(expression: str, names: ReadObject, functions: tuple[Function, ...] = ()) -> Json:
    """Return the value of `expression` as plain YAML. Raises CelError.

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


def _selected(expression: str, names: ReadObject) -> str | int | None:
    """Return the string or integer at a path such as `values.shop.replicas`; None if the library has to evaluate it.

    Most expressions are such paths, and loading the library takes longer than evaluating all of them here.
    """
    steps = mere_path(expression)
    if steps is None or len(steps) == 1:
        return None
    value: ReadJson = names
    for step in steps:
        if not isinstance(value, dict) or step not in value:
            return None
        value = value[step]
    if isinstance(value, str):
        return value if len(value) <= TEXT_MAX else None
    return value if isinstance(value, int) and -_INTEGER_MAX <= value < _INTEGER_MAX else None


def result_type(expression: str, names: tuple[str, ...], functions: tuple[Function, ...] = ()) -> str:
    """Return the type of the result of `expression`, as far as it is known: "BOOL", "STRING", "DYN". Raises CelError.

    >>> result_type("a == 1", ("a",)), result_type("a", ("a",))
    ('BOOL', 'DYN')
    """
    compiled = program(expression, names, functions)
    _risks(expression, names, functions)
    return str(compiled.return_type().name())
