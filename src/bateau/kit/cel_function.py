"""A function of the CEL dialect: its name, the types of its parameters, and the Python function that computes it.

Called by domain.expression, hydrate.expressions and kit. kit.cel registers functions with the library.

Invariant: a function is a hashable value, so that the library environment made for it can be cached. Held by
tests/kit/test_cel.py::test_equal_functions_are_one_key.
Refused: one overload that takes anything (`dyn`); the library matches concrete types only, and fails at run time.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

Kind = Literal["string", "int", "double", "bool", "list", "map", "dyn"]


@dataclass(frozen=True, slots=True)
class Function:
    """One overload. A `member` is called on its first parameter: `text.find(pattern)`.

    `run` raises ValueError, with a message of one line, if it has no result. `map` is also the type of Kubernetes' own
    values (Quantity, URL, IP, CIDR), which are maps with one reserved key.
    """

    name: str
    takes: tuple[Kind, ...]
    gives: Kind
    run: Callable[..., object]
    member: bool = False

    @property
    def id(self) -> str:
        """Name of the overload, unique in an environment."""
        return f"{'_on_' if self.member else ''}{self.name}({','.join(self.takes)})"
