"""Interpret unquoted scalars like Go's YAML parsers: `kubectl` and Helm, and kustomize, which differs from them.

Called by sources.foreign, specs.ambiguity, specs.reading and wiring.delivery. kubectl and Helm read YAML 1.1's words
and numbers (`on` is true, `0644` is 420), kustomize only the numbers. Verified with kubectl 1.37.1, kustomize 5.8.1 and
Helm 4.3.1, 2026-11.

Invariant: a scalar that these programs reject because JSON has no such number (infinite, NaN) is returned as that
float, so that the caller can reject it with its position. Held by
tests/kit/test_yaml_go.py::test_what_json_has_no_number_for_comes_out_as_that_float.
"""

import re
from typing import Final

from bateau.kit.json_value import Scalar
from bateau.kit.yaml_tree import Dialect, plain_scalar

_TRUE: Final = frozenset(("y", "Y", "yes", "Yes", "YES", "on", "On", "ON"))
_FALSE: Final = frozenset(("n", "N", "no", "No", "NO", "off", "Off", "OFF"))
_WORDS: Final[dict[str, float]] = {
    **dict.fromkeys((".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF"), float("inf")),
    **dict.fromkeys(("-.inf", "-.Inf", "-.INF"), float("-inf")),
    **dict.fromkeys((".nan", ".NaN", ".NAN"), float("nan")),
}
_SWITCHES: Final[dict[str, bool]] = {**dict.fromkeys(_TRUE, True), **dict.fromkeys(_FALSE, False)}
# The forms of strconv.ParseInt with base 0, without underscores: a leading zero means octal.
_INTEGER: Final = re.compile(
    r"(?P<sign>[-+]?)(?:0[xX](?P<hex>[0-9a-fA-F]+)|0[bB](?P<bin>[01]+)|0[oO]?(?P<oct>[0-7]+)|(?P<dec>0|[1-9][0-9]*))"
)
_BASES: Final = {"hex": 16, "bin": 2, "oct": 8, "dec": 10}
_FLOAT: Final = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_DIGITS_MAX: Final = 300
_INTEGER_MIN: Final = -(2**63)
_INTEGER_END: Final = 2**64


def kubectl_scalar(text: str) -> Scalar:
    """Return the value of an unquoted scalar in kubectl and Helm.

    >>> [kubectl_scalar(text) for text in ("on", "n", "true", "~", "0644", "0o17", "1_000", "1e3", "1.50", "12:30")]
    [True, False, True, None, 420, 15, 1000, 1000, 1.5, '12:30']
    """
    if text in _SWITCHES:
        return _SWITCHES[text]
    return kustomize_scalar(text)


def kustomize_scalar(text: str) -> Scalar:
    """Return the value of an unquoted scalar in kustomize.

    >>> [kustomize_scalar(text) for text in ("on", "true", "0644", "08", "5.", "+")]
    ['on', True, 420, 8, 5, '+']
    """
    if text in _WORDS:
        return _WORDS[text]
    if not text or text[0] not in "+-.0123456789":
        return plain_scalar(text)
    digits = text.replace("_", "")
    if len(digits) > _DIGITS_MAX:
        return text
    if match := _INTEGER.fullmatch(digits):
        number = _integer(match)
        if _INTEGER_MIN <= number < _INTEGER_END:
            return number
    if not _FLOAT.fullmatch(digits):
        return text
    value = float(digits)
    if value in {float("inf"), float("-inf")}:
        return text  # too large for a number, so these programs keep the text
    # JSON has one kind of number: a number without a fraction becomes an integer.
    return int(value) if value.is_integer() and abs(value) < -_INTEGER_MIN else value


def is_ambiguous(text: str) -> bool:
    """Whether an unquoted scalar means one thing to kubectl and Helm and another in YAML 1.2.

    >>> [text for text in ("on", "0644", "1_000", "0b101", "0o644", "true", "1e3", "1.10", "v1") if is_ambiguous(text)]
    ['on', '0644', '1_000', '0b101']
    """
    if text in _SWITCHES:
        return True
    if not text or text[0] not in "+-.0123456789":
        return False
    here, there = plain_scalar(text), kubectl_scalar(text)
    return here != there or isinstance(here, str) != isinstance(there, str)


def _integer(match: re.Match[str]) -> int:
    kind = str(match.lastgroup)
    number = int(match[kind], _BASES[kind])
    return -number if match["sign"] == "-" else number


def _key(value: Scalar, text: str) -> str | None:
    """Return the string that JSON uses as the key; null stays None, and is rejected as by these programs."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if value is None else str(value) if isinstance(value, int | str) else text


KUBECTL: Final = Dialect(value=kubectl_scalar, key=lambda text: _key(kubectl_scalar(text), text))
# It accepts only strings as keys, and takes the end of a file as it is.
KUSTOMIZE: Final = Dialect(value=kustomize_scalar, key=kustomize_scalar, ends_lines=False)
