"""The functions that Kubernetes adds to CEL, as far as the library allows them.

Called by kit.cel and kit.cel_library. Sources: "CEL options, language features, and libraries", Kubernetes 1.36.

Supported: quantities, URLs, IP and CIDR, `find`, `findAll`, `sum`, `min`, `max`, `isSorted` and the `sets.*` functions.
The library itself has strings (version 2) and optionals. Missing: `indexOf` and `lastIndexOf` of lists (they work for
strings), `semver`, named formats (`format.*`), `authorizer`, macros with two variables, `string()` of an IP or CIDR.

Invariant: every function here has the same meaning as in an API server. Held by
tests/kit/test_cel.py::test_an_expression_has_the_value_that_kubernetes_documents.
Refused: Python's `re` for `find`. Its time is not linear in the length of the text.
"""

from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import Any, Final, cast

from bateau.kit.cel_function import Function, Kind
from bateau.kit.cel_network import NETWORK, network_text
from bateau.kit.cel_quantity import QUANTITY, quantity_text


def wrapped_text(value: Mapping[str, object]) -> str | None:
    """Return the text of a quantity, URL, IP or CIDR; None for any other map."""
    found = quantity_text(value)
    return network_text(value) if found is None else found


def _pattern(text: str) -> Any:
    import re2

    regex = cast("Any", re2)
    options = regex.Options()
    options.log_errors = False
    try:
        return regex.compile(text, options=options)
    except regex.error as error:
        said = error.args[0] if error.args else error
        says = said.decode() if isinstance(said, bytes) else said
        raise ValueError(f"error parsing regexp {text!r}: {says}") from error


def _find(text: str, pattern: str) -> str:
    match = _pattern(pattern).search(text)
    return match.group() if match else ""


def _find_all(text: str, pattern: str, limit: int = -1) -> list[str]:
    found: list[str] = []
    if limit == 0:
        return found
    for match in _pattern(pattern).finditer(text):
        found.append(match.group())
        if len(found) == limit:
            break
    return found


def _ordered(items: list[object]) -> list[Any]:
    kinds = {"number" if isinstance(each, int | float) else type(each).__name__ for each in items}
    if len(kinds) > 1 or kinds & {"dict", "list", "NoneType"}:
        raise ValueError(f"values of these types cannot be compared: {', '.join(sorted(kinds))}")
    return items


def _extreme(pick: Callable[[list[Any]], object], name: str) -> Callable[[list[object]], object]:
    def answer(items: list[object]) -> object:
        if not items:
            raise ValueError(f"{name} called on empty list")
        return pick(_ordered(items))

    return answer


def _is_sorted(items: list[object]) -> bool:
    return all(one <= other for one, other in pairwise(_ordered(items)))


def _sum(items: list[object]) -> float:
    numbers = [each for each in items if isinstance(each, int | float) and not isinstance(each, bool)]
    if len(numbers) != len(items):
        raise ValueError("sum takes numbers")
    return sum(numbers)


def _contains(one: list[object], other: list[object]) -> bool:
    return all(each in one for each in other)


def _equivalent(one: list[object], other: list[object]) -> bool:
    return _contains(one, other) and _contains(other, one)


def _intersects(one: list[object], other: list[object]) -> bool:
    return any(each in one for each in other)


_LIST: Final[tuple[Kind, ...]] = ("list",)
_LISTS: Final[tuple[Kind, ...]] = ("list", "list")

KUBERNETES: Final[tuple[Function, ...]] = (
    *QUANTITY,
    *NETWORK,
    Function("find", ("string", "string"), "string", _find, member=True),
    Function("findAll", ("string", "string"), "list", _find_all, member=True),
    Function("findAll", ("string", "string", "int"), "list", _find_all, member=True),
    Function("isSorted", _LIST, "bool", _is_sorted, member=True),
    Function("sum", _LIST, "dyn", _sum, member=True),
    Function("min", _LIST, "dyn", _extreme(min, "min"), member=True),
    Function("max", _LIST, "dyn", _extreme(max, "max"), member=True),
    Function("sets.contains", _LISTS, "bool", _contains),
    Function("sets.equivalent", _LISTS, "bool", _equivalent),
    Function("sets.intersects", _LISTS, "bool", _intersects),
)
