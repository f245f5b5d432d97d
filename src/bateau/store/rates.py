"""Keep the history of the costs of models, because the lines of the ledger have none.

Called by wiring.budgets, wiring.usage and wiring.usage_process. The control plane writes the file whenever the costs of
a model change.

Invariant: a file that cannot be read is an error and not an empty history, by which budgets would begin again. It stays
as it is. Held by tests/store/test_rates.py::test_a_damaged_file_is_an_error_and_stays_as_it_is.
"""

import re
from dataclasses import asdict
from math import isfinite
from pathlib import Path
from typing import Final

from bateau.domain.costs import Costs, Energy, Price, Rate, Rates
from bateau.domain.errors import ControlError
from bateau.kit.json_value import JsonObject, ReadObject, is_array, is_object
from bateau.kit.money import CURRENCY
from bateau.store.state_file import StateFile

_FORMAT: Final = 1


class RateFile:
    """The file with the costs of one instance's models."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = StateFile(path)

    def load(self) -> Rates:
        """Return the history; an empty one if there is no file yet. Raises ControlError if the file is damaged."""
        tree = self._file.read()
        if not tree and not self._path.exists():
            return Rates()
        models = tree.get("models")
        if tree.get("rates_format") != _FORMAT or not is_object(models):
            raise self._damaged("it has no costs in a format that this version knows")
        try:
            return Rates({name: _rates(rows) for name, rows in models.items()})
        except (OverflowError, TypeError, ValueError) as error:
            raise self._damaged(f"it has costs that cannot be read: {error}") from error

    def save(self, rates: Rates) -> None:
        """Write the history. Raises ControlError if the disk is full or read-only."""
        models = {name: [asdict(rate) for rate in found] for name, found in rates.by_model.items()}
        self._file.save({"rates_format": _FORMAT, "models": models})

    def _damaged(self, why: str) -> ControlError:
        return ControlError(
            f"{self._path} cannot be used: {why}",
            hint="restore it from a backup, or use the version that wrote it; without the file, the costs of all "
            "earlier requests are unknown",
        )


def _rates(rows: object) -> tuple[Rate, ...]:
    """Return the history of one model. Raises TypeError and ValueError."""
    if not is_array(rows) or not rows:
        raise TypeError("a model has no list of costs")
    return tuple(_rate(row) for row in rows)


def _rate(row: object) -> Rate:
    if not is_object(row):
        raise TypeError("costs are not an object")
    costs = row.get("costs")
    return Rate(since=_number(row, "since"), costs=None if costs is None else _costs(costs))


def _costs(tree: object) -> Costs:
    if not is_object(tree):
        raise TypeError("costs are not an object")
    money, energy = tree.get("money"), tree.get("energy")
    return Costs(
        money=None if money is None else _price(money),
        energy=None if energy is None else Energy(**_amounts(energy)),
    )


def _price(tree: object) -> Price:
    currency = tree.get("currency") if is_object(tree) else None
    if not isinstance(currency, str) or not re.fullmatch(CURRENCY, currency):
        raise TypeError("a price has no currency")
    return Price(currency=currency, **_amounts(tree))


def _amounts(tree: object) -> dict[str, float]:
    if not is_object(tree):
        raise TypeError("amounts are not an object")
    cached = {} if tree.get("cached") is None else {"cached": _number(tree, "cached")}
    return {"input": _number(tree, "input"), "output": _number(tree, "output"), **cached}


def _number(tree: JsonObject | ReadObject, name: str) -> float:
    value = tree.get(name)
    if not isinstance(value, int | float) or isinstance(value, bool) or not isfinite(value) or value < 0:
        raise ValueError(f"{name} is {value!r}")
    return float(value)
