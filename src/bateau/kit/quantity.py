"""Convert Kubernetes quantities (`500m`, `2Gi`) and durations (`1h30m`) to numbers, and back.

Called by cli, control, kit, place, render, runtimes, ui and wiring. Sources: kubernetes.io, "Quantity" in
k8s.io/apimachinery/pkg/api/resource; Go's time.ParseDuration.

Invariant: the arithmetic is exact; only the last step converts cores or seconds to a float. Held by
tests/kit/test_quantity.py.
Refused: guessing. `2GB` could mean 2 * 10^9 or 2 * 2^30 bytes, and 30 could be seconds or milliseconds; the hint asks.
"""

import re
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from typing import Final

BYTES_MAX: Final = 2**63 - 1

_BINARY: Final = {suffix: 1024**power for power, suffix in enumerate(("Ki", "Mi", "Gi", "Ti", "Pi", "Ei"), start=1)}
_DECIMAL: Final = {suffix: 1000**power for power, suffix in enumerate(("k", "M", "G", "T", "P", "E"), start=1)}
_SMALL: Final = {"m": Fraction(1, 1000), "u": Fraction(1, 10**6), "n": Fraction(1, 10**9)}
_SMALL_WORDS: Final = {"m": "thousandths", "u": "millionths", "n": "billionths"}
_SUFFIXES: Final[dict[str, Fraction]] = {
    "": Fraction(1),
    **{suffix: Fraction(factor) for suffix, factor in (_BINARY | _DECIMAL).items()},
    **_SMALL,
}
_NUMBER: Final = r"[-+]?(?:\d{1,40}(?:\.\d{0,40})?|\.\d{1,40})"
_QUANTITY: Final = re.compile(rf"({_NUMBER})(?:[eE]([-+]?\d{{1,2}})|([A-Za-z]*))", re.ASCII)
_WITH_WORD: Final = re.compile(rf"({_NUMBER})\s*([^\W\d_]+|%)", re.ASCII)
_SECONDS: Final[dict[str, Fraction]] = {
    "h": Fraction(3600),
    "m": Fraction(60),
    "s": Fraction(1),
    "ms": Fraction(1, 1000),
    "us": Fraction(1, 10**6),
    "\u00b5s": Fraction(1, 10**6),
    "ns": Fraction(1, 10**9),
}
_DURATION_PART: Final = re.compile(r"(\d{1,20}(?:\.\d{0,20})?|\.\d{1,20})(h|ms|us|\u00b5s|ns|m|s)", re.ASCII)
_DURATION_WORDS: Final = {
    "s": ("sec", "secs", "second", "seconds"),
    "m": ("min", "mins", "minute", "minutes"),
    "h": ("hr", "hrs", "hour", "hours"),
    "ms": ("msec", "msecs", "millis", "millisecond", "milliseconds"),
    "d": ("d", "day", "days"),
}


class QuantityError(ValueError):
    """A text that is not a valid quantity: `says` completes "memory is ...", `hint` shows the right form."""

    def __init__(self, says: str, hint: str) -> None:
        super().__init__(f"{says} ({hint})")
        self.says = says
        self.hint = hint


def parse_bytes(value: str | float) -> int:
    """Return a size in bytes; a fraction of a byte is rounded up, as Kubernetes does. Raises QuantityError.

    >>> parse_bytes("2Gi"), parse_bytes("1.5G"), parse_bytes(512), parse_bytes("1e3")
    (2147483648, 1500000000, 512, 1000)
    """
    text = _written(value)
    number, suffix = _number_and_suffix(text, kind="a size", hint=_size_hint)
    if suffix in _SMALL:
        amount = text.removesuffix(suffix)
        raise QuantityError(
            f'"{text}", but the suffix `{suffix}` means {_SMALL_WORDS[suffix]} of a byte',
            f"did you mean `{amount}Mi` ({amount} * 2^20 bytes) or `{amount}M` ({amount} * 10^6 bytes)?",
        )
    size = number * _SUFFIXES[suffix]
    if size < 0:
        raise QuantityError(f'"{text}", and a size cannot be negative', "write a size such as `2Gi`")
    if size > BYTES_MAX:
        raise QuantityError(f'"{text}", which is more than 2^63 bytes', "write a size such as `2Gi`")
    return -(-size.numerator // size.denominator)


def parse_cores(value: str | float) -> float:
    """Return a number of CPU cores. Raises QuantityError.

    >>> parse_cores("500m"), parse_cores("2"), parse_cores(0.25)
    (0.5, 2.0, 0.25)
    """
    text = _written(value)
    number, suffix = _number_and_suffix(text, kind="a number of cores", hint=_cores_hint)
    if suffix and suffix not in _SMALL:
        raise QuantityError(f'"{text}", which is a size, not a number of cores', _cores_hint(text))
    cores = number * _SUFFIXES[suffix]
    if cores < 0:
        raise QuantityError(f'"{text}", and cores cannot be negative', _cores_hint(text))
    return float(cores)


def parse_seconds(value: str | float) -> float:
    """Return a duration in seconds. Only 0 needs no unit. Raises QuantityError.

    >>> parse_seconds("1h30m"), parse_seconds("250ms"), parse_seconds("1.5s"), parse_seconds(0)
    (5400.0, 0.25, 1.5, 0.0)
    """
    text = _written(value)
    if text in {"0", "+0", "-0"}:
        return 0.0
    total = Fraction(0)
    at = 0
    while (part := _DURATION_PART.match(text, at)) is not None:
        total += Fraction(Decimal(part[1])) * _SECONDS[part[2]]
        at = part.end()
    if at == 0 or at != len(text):
        if text.startswith("-") and _DURATION_PART.match(text, 1):
            raise QuantityError(f'"{text}", and a duration cannot be negative', "write a duration such as `30s`")
        raise QuantityError(*_wrong_duration(text))
    return float(total)


def format_bytes(size: int) -> str:
    """Return a size in bytes as the shortest exact quantity.

    >>> format_bytes(2147483648), format_bytes(1500000000), format_bytes(1234), format_bytes(0)
    ('2Gi', '1500M', '1234', '0')
    """
    candidates = [str(size)]
    if size:
        candidates += [
            f"{size // factor}{suffix}" for suffix, factor in (_BINARY | _DECIMAL).items() if size % factor == 0
        ]
    return min(candidates, key=lambda text: (len(text.rstrip("kKMGTPEi")), len(text)))


def approximate_bytes(size: int) -> str:
    """Return a size for people: three digits, in powers of two.

    >>> approximate_bytes(75815385875), approximate_bytes(2147483648), approximate_bytes(512)
    ('70.6 GiB', '2 GiB', '512 B')
    """
    value, unit = float(size), "B"
    for larger in ("KiB", "MiB", "GiB", "TiB", "PiB"):
        if value < 1000:  # noqa: PLR2004
            break
        value, unit = value / 1024, larger
    return f"{value:.3g} {unit}"


def format_cores(cores: float) -> str:
    """Return a number of cores as a quantity.

    >>> format_cores(2.0), format_cores(0.5)
    ('2', '500m')
    """
    exact = Fraction(Decimal(repr(cores)))
    if exact.denominator == 1:
        return str(exact.numerator)
    thousandths = exact * 1000
    return f"{thousandths.numerator}m" if thousandths.denominator == 1 else format(Decimal(repr(cores)), "f")


def format_seconds(seconds: float) -> str:
    """Return seconds as a duration that `parse_seconds` reads back as the same number.

    >>> format_seconds(5400), format_seconds(0.25), format_seconds(90.5), format_seconds(0)
    ('1h30m', '250ms', '1m30.5s', '0s')
    """
    exact = Fraction(Decimal(repr(seconds)))
    if exact < 0:
        return f"-{format_seconds(-seconds)}"
    if 0 < exact < 1:
        for unit in ("ms", "us", "ns"):
            amount = exact / _SECONDS[unit]
            if amount.denominator == 1:
                return f"{amount.numerator}{unit}"
        return f"{format(Decimal(repr(seconds)), 'f')}s"
    minutes, rest = divmod(exact, 60)
    hours, minutes = divmod(minutes, 60)
    words = [f"{hours}h"] if hours else []
    words += [f"{minutes}m"] if minutes else []
    if rest or not words:
        left = Decimal(repr(seconds)) - Decimal(int(hours) * 3600 + int(minutes) * 60)
        words.append(f"{format(left, 'f').rstrip('0').rstrip('.') if '.' in format(left, 'f') else left}s")
    return "".join(words)


def _written(value: str | float) -> str:
    return value if isinstance(value, str) else format(Decimal(repr(value)), "f") if _finite(value) else str(value)


def _finite(value: float) -> bool:
    return abs(value) <= BYTES_MAX


def _number_and_suffix(text: str, *, kind: str, hint: Callable[[str], str]) -> tuple[Fraction, str]:
    match = _QUANTITY.fullmatch(text)
    if match is None or (match[3] is not None and match[3] not in _SUFFIXES):
        raise QuantityError(f"{_shown(text)}, which is not {kind}", hint(text))
    number = Fraction(Decimal(match[1]))
    if match[2] is not None:
        number *= Fraction(10) ** int(match[2])
    return number, match[3] or ""


def _shown(text: str) -> str:
    return f'"{text}"' if len(text) <= 40 else f'"{text[:37]}..."'  # noqa: PLR2004 - fits on a line


def _size_hint(text: str) -> str:
    word = _WITH_WORD.fullmatch(text.strip())
    if word is not None:
        number, unit = word[1], word[2].lower().removesuffix("ytes").removesuffix("yte").removesuffix("b")
        letter = unit.removesuffix("i").upper()[:1]
        if unit.endswith("i") and f"{letter}i" in _BINARY:
            return f"did you mean `{number}{letter}i`?"
        if f"{letter}i" in _BINARY and len(unit) == 1:
            decimal = letter.lower() if letter == "K" else letter
            power = list(_DECIMAL).index(decimal) + 1
            return (
                f"did you mean `{number}{letter}i` ({number} * 2^{10 * power} bytes) "
                f"or `{number}{decimal}` ({number} * 10^{3 * power} bytes)?"
            )
        if not unit:
            return f"did you mean `{number}`? Bytes have no suffix"
    return "write a size such as `512Mi`, `2Gi` or `1.5G`"


def _cores_hint(text: str) -> str:
    word = _WITH_WORD.fullmatch(text.strip())
    if word is not None:
        number, unit = word[1], word[2].lower()
        if unit in {"core", "cores", "cpu", "cpus", "vcpu", "vcpus", "c"}:
            return f"did you mean `{number}`?"
        if unit == "%":
            return f"did you mean `{format_cores(float(number) / 100)}`?"
        if unit in {"mcpu", "millicore", "millicores", "milli", "mb", "mi", "mib", "m"}:
            return f"did you mean `{number}m` (thousandths of a core)? Sizes belong to memory"
    return "write cores such as `2`, `0.5` or `500m` (thousandths of a core)"


def _wrong_duration(text: str) -> tuple[str, str]:
    if re.fullmatch(_NUMBER, text):
        return f"{text} without a unit", f"did you mean `{text}s`, `{text}m` or `{text}ms`?"
    word = _WITH_WORD.fullmatch(text.strip())
    if word is not None:
        number, name = word[1], word[2].lower()
        for unit, words in _DURATION_WORDS.items():
            if name == unit or name in words:
                meant = f"{format_cores(float(number) * 24)}h" if unit == "d" else f"{number}{unit}"
                return f"{_shown(text)}, which is not a duration", f"did you mean `{meant}`?"
    return (
        f"{_shown(text)}, which is not a duration",
        "write a duration such as `30s`, `5m`, `1h30m` or `250ms`",
    )
