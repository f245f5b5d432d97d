"""Whole numbers and lengths of time as people write them in options and forms.

Called by cli.options, domain.key_fields and ui.key_form.
"""

from typing import Final

from bateau.kit.quantity import QuantityError, parse_seconds

DAY_S: Final = 86_400.0
NUMBER_MAX: Final = 2**63 - 1  # the largest whole number of SQLite
_TIME_CHARACTERS_MAX: Final = 20


def whole(text: str | int, *, least: int) -> int:
    """Return a whole number of at least `least`. Raises ValueError with a message for people.

    >>> whole("60", least=1)
    60
    """
    try:
        number = int(text)
    except ValueError:
        raise ValueError(f"{text} is not a whole number") from None
    if number < least:
        raise ValueError(f"{number} is too small; use {least} or more")
    if number > NUMBER_MAX:
        raise ValueError(f"{number} is too large")
    return number


def period(text: str) -> float:
    """Return a length of time such as 24h or 30d in seconds. Raises ValueError with a message for people.

    >>> period("30d"), period("90s")
    (2592000.0, 90.0)
    """
    days = text.removesuffix("d")
    if len(text) > _TIME_CHARACTERS_MAX:
        raise ValueError("it is too long: write 90d, 12h or 30m")
    try:
        return int(days) * DAY_S if days != text and days.isdecimal() else parse_seconds(text)
    except (QuantityError, OverflowError):
        raise ValueError(f"{text} is not a duration: write 90d, 12h or 30m") from None
