"""The options of `bateau keys create` that limit a key.

Called by cli.keys.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Final, TypeVar

import click

from bateau.cli.options import Number

if TYPE_CHECKING:
    from bateau.kit.money import Money

_Command = TypeVar("_Command", bound=Callable[..., object])


class Count(click.ParamType[int]):
    """A number of tokens, such as 500, 60k or 1M."""

    name = "number"

    def convert(self, value: str | int, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Return the number; a wrong one is a usage error."""
        from bateau.domain.key_fields import tokens

        try:
            return tokens(str(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)


class Amount(click.ParamType["Money"]):
    """An amount of money, such as 5EUR."""

    name = "money"

    def convert(self, value: "str | Money", param: click.Parameter | None, ctx: click.Context | None) -> "Money":
        """Return the amount; a wrong one is a usage error."""
        from bateau.kit.money import Money

        try:
            return Money.parse(value) if isinstance(value, str) else value
        except ValueError as error:
            self.fail(str(error), param, ctx)


class KilowattHours(click.ParamType[float]):
    """An amount of energy in kWh, such as 1.5."""

    name = "kwh"

    def convert(self, value: str | float, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Return the kWh; a wrong amount is a usage error."""
        from bateau.domain.key_fields import kilowatt_hours

        try:
            return kilowatt_hours(str(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)


_LIMITS: Final = (
    click.option("--requests-per-minute", type=Number(1), help="How many requests the key may send in a minute."),
    click.option("--concurrent", type=Number(1), help="How many requests the key may have in flight at once."),
    click.option("--tokens-per-minute", type=Count(), help="How many tokens the key may use in a minute, such as 60k."),
    click.option("--tokens-per-day", type=Count(), help="How many tokens the key may use in a day (UTC), such as 1M."),
    click.option("--tokens-per-month", type=Count(), help="How many tokens the key may use in a month (UTC)."),
    click.option("--money-per-day", type=Amount(), help="How much the key may spend in a day (UTC), such as 5EUR."),
    click.option("--money-per-month", type=Amount(), help="How much the key may spend in a month (UTC)."),
    click.option("--kwh-per-day", type=KilowattHours(), help="How many kWh the key may use in a day (UTC)."),
    click.option("--kwh-per-month", type=KilowattHours(), help="How many kWh the key may use in a month (UTC)."),
)


def limit_options(command: _Command) -> _Command:
    """Add the limits of a key; the command gets them by the names of the fields of `ApiKey`."""
    for option in reversed(_LIMITS):
        command = option(command)
    return command
