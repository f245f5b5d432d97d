"""Kubernetes' Quantity in CEL: `quantity("500m").isLessThan(quantity("1"))`.

Called by kit.cel_kubernetes, plan.difference and render.served_form. Source: "Kubernetes quantity library", CEL in
Kubernetes; resource.Quantity.

Invariant: exact fractions, never floats; "1" and "1000m" are equal. Held by
tests/kit/test_cel.py::test_an_expression_has_the_value_that_kubernetes_documents.
Refused: kit.quantity, which accepts more spellings than the API server.
"""

import re
from collections.abc import Mapping
from fractions import Fraction
from math import ceil
from typing import Final

from bateau.kit.cel_function import Function

_KEY: Final = "~quantity"
_WRITTEN: Final = re.compile(r"([+-]?(?:\d+\.?\d*|\.\d+))(?:([eE])([+-]?\d{1,3})|([KMGTPE]i|[numkMGTPE]))?")
_DECIMAL: Final = {"n": -9, "u": -6, "m": -3, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_BINARY: Final = {"Ki": 10, "Mi": 20, "Gi": 30, "Ti": 40, "Pi": 50, "Ei": 60}
_SUFFIXES: Final = {power: suffix for suffix, power in _DECIMAL.items()} | {0: ""}
_POWER_MAX: Final = 18
_KIBI: Final = 1024
_INT64_MAX: Final = 2**63 - 1
_LENGTH_MAX: Final = 128


def parse_quantity(text: str) -> Fraction:
    """Return the exact value of a quantity as Kubernetes reads it. Raises ValueError.

    >>> parse_quantity("500m") == parse_quantity("0.5"), parse_quantity("1Ki")
    (True, Fraction(1024, 1))
    """
    match = _WRITTEN.fullmatch(text) if len(text) <= _LENGTH_MAX else None
    if match is None:
        raise ValueError("quantities must match the regular expression of Kubernetes: 500m, 2Gi, 1e3")
    number, _, exponent, suffix = match.groups()
    if suffix in _BINARY:
        return Fraction(number) * 2 ** _BINARY[suffix]
    power = int(exponent) if exponent else _DECIMAL.get(suffix or "", 0)
    return Fraction(number) * Fraction(10) ** power


def canonical_quantity(text: str) -> str | None:
    """Return a quantity as an API server writes it (Quantity.CanonicalizeBytes); None if it is not a quantity.

    >>> [canonical_quantity(each) for each in ("1024Mi", "0.5", "1000m", "1000M", "0.5Gi", "1.5Ki", "1e3", "1Ki")]
    ['1Gi', '500m', '1', '1G', '512Mi', '1536', '1e3', '1Ki']
    """
    match = _WRITTEN.fullmatch(text)
    if match is None or len(text) > _LENGTH_MAX:
        return None
    exact = parse_quantity(text)
    if match[4] in _BINARY and abs(exact) >= _KIBI and exact.denominator == 1:
        number, suffix = exact.numerator, ""
        for each in _BINARY:
            if number % _KIBI:
                break
            number, suffix = number // _KIBI, each
        return f"{number}{suffix}"
    number = ceil(abs(exact) * 10**9) * (1 if exact > 0 else -1)
    power = -9
    while number and number % 1000 == 0 and (match[2] or power < _POWER_MAX):
        number, power = number // 1000, power + 3
    if not number:
        return "0"
    if match[2]:
        return f"{number}{match[2].lower()}{power}" if power else str(number)
    return f"{number}{_SUFFIXES[power]}"


def _wrap(value: Fraction) -> Mapping[str, str]:
    return {_KEY: str(value)}


def quantity_text(value: Mapping[str, object]) -> str | None:
    """Return the text of a quantity, None for any other map. Like Kubernetes, round up to whole nano-units.

    >>> quantity_text({"~quantity": "3/2"}), quantity_text({"~quantity": "268435456"}), quantity_text({"a": 1})
    ('1500m', '268435456', None)
    """
    if set(value) != {_KEY} or not isinstance(value[_KEY], str):
        return None
    try:
        exact = _exact(value)
    except (ValueError, ZeroDivisionError):
        return None  # a map of the author that only resembles a quantity
    for suffix, scale in (("", 1), ("m", 10**3), ("u", 10**6)):
        if (exact * scale).denominator == 1:
            return f"{(exact * scale).numerator}{suffix}"
    return f"{ceil(exact * 10**9)}n"


def _exact(value: Mapping[str, object] | int) -> Fraction:
    if isinstance(value, int):
        return Fraction(value)
    exact = value.get(_KEY)
    if set(value) != {_KEY} or not isinstance(exact, str | int | float):
        raise ValueError("this is a map, not the result of quantity(…); wrap text in quantity(…)")
    return Fraction(exact)


def _quantity(text: str) -> Mapping[str, str]:
    return _wrap(parse_quantity(text))


def _is_quantity(text: str) -> bool:
    try:
        parse_quantity(text)
    except ValueError:
        return False
    return True


def _is_integer(value: Mapping[str, object]) -> bool:
    exact = _exact(value)
    return exact.denominator == 1 and -_INT64_MAX - 1 <= exact <= _INT64_MAX


def _as_integer(value: Mapping[str, object]) -> int:
    if not _is_integer(value):
        raise ValueError("cannot convert value to integer")
    return int(_exact(value))


def _compare(one: Mapping[str, object], other: Mapping[str, object]) -> int:
    first, second = _exact(one), _exact(other)
    return (first > second) - (first < second)


def _sign(value: Mapping[str, object]) -> int:
    exact = _exact(value)
    return (exact > 0) - (exact < 0)


def _float(value: Mapping[str, object]) -> float:
    return float(_exact(value))


def _less(one: Mapping[str, object], other: Mapping[str, object]) -> bool:
    return _compare(one, other) < 0


def _greater(one: Mapping[str, object], other: Mapping[str, object]) -> bool:
    return _compare(one, other) > 0


def _add(one: Mapping[str, object], other: Mapping[str, object] | int) -> Mapping[str, str]:
    return _wrap(_exact(one) + _exact(other))


def _sub(one: Mapping[str, object], other: Mapping[str, object] | int) -> Mapping[str, str]:
    return _wrap(_exact(one) - _exact(other))


QUANTITY: Final = (
    Function("quantity", ("string",), "dyn", _quantity),
    Function("isQuantity", ("string",), "bool", _is_quantity),
    Function("isInteger", ("map",), "bool", _is_integer, member=True),
    Function("asInteger", ("map",), "int", _as_integer, member=True),
    Function("asApproximateFloat", ("map",), "double", _float, member=True),
    Function("sign", ("map",), "int", _sign, member=True),
    Function("isLessThan", ("map", "map"), "bool", _less, member=True),
    Function("isGreaterThan", ("map", "map"), "bool", _greater, member=True),
    Function("compareTo", ("map", "map"), "int", _compare, member=True),
    Function("add", ("map", "map"), "dyn", _add, member=True),
    Function("add", ("map", "int"), "dyn", _add, member=True),
    Function("sub", ("map", "map"), "dyn", _sub, member=True),
    Function("sub", ("map", "int"), "dyn", _sub, member=True),
)
