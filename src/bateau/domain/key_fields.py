"""The fields of a key as people write them: in the options of `bateau keys create`, and in the form of the dashboard.

Called by cli.key_limits, cli.keys and ui.key_form. Each function returns a value, or raises ValueError with a message
that says how to write it.
"""

import re
from datetime import UTC, datetime, timedelta
from typing import Final

from bateau.kit.amounts import NUMBER_MAX, period

_KWH: Final = re.compile(r"(\d{1,12}(?:\.\d{1,9})?)(?: ?kWh)?", re.ASCII)


def tokens(text: str) -> int:
    """Return a number of tokens.

    >>> tokens("60k"), tokens("1M")
    (60000, 1000000)
    """
    factor = {"k": 1_000, "M": 1_000_000, "G": 1_000_000_000}.get(text[-1:], 1)
    digits = text if factor == 1 else text[:-1]
    if len(digits) > len(str(NUMBER_MAX)) or not digits.isdecimal() or not 0 < int(digits) * factor <= NUMBER_MAX:
        raise ValueError(f"{text} is not a number of tokens: write 500, 60k or 1M")
    return int(digits) * factor


def kilowatt_hours(text: str) -> float:
    """Return an amount of energy.

    >>> kilowatt_hours("1.5 kWh")
    1.5
    """
    found = _KWH.fullmatch(text)
    if found is None or not float(found[1]):
        raise ValueError(f"{text} is not an amount of energy: write 1.5 or 30, in kWh")
    return float(found[1])


def expiry(text: str, now: float) -> float:
    """Return when a key ends, in whole seconds since the epoch: after a time from now on, or after a last day.

    >>> expiry("90s", 1000.0), expiry("1970-01-02", 0.0)
    (1090.0, 172800.0)
    """
    try:
        until = now + period(text)
    except ValueError:
        until = _end_of_day(text)
    try:
        datetime.fromtimestamp(until, UTC)
    except (ValueError, OverflowError, OSError):
        raise ValueError(f"{text} is too far in the future") from None
    if until <= now:
        raise ValueError(f"{text} is over")
    return float(int(until))


def _end_of_day(text: str) -> float:
    try:
        day = datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC)
    except ValueError:
        raise ValueError(f"{text} is not a time: write 90d, 12h, or a date such as 2027-01-31") from None
    try:
        return (day + timedelta(days=1)).timestamp()  # the day itself is included
    except OverflowError:
        raise ValueError(f"{text} is too far in the future") from None
