"""What a function of the CEL dialect is: a name, the types it takes, and the Python that answers.

Called by domain.expression, hydrate.expressions and kit.

Invariant: a function is a value that compares and hashes, so that an environment made for it can be kept.
Refused: one overload that takes anything (`dyn`); the library matches concrete types only, and says so at run time.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

Kind = Literal["string", "int", "double", "bool", "list", "map", "dyn"]


@dataclass(frozen=True, slots=True)
class Function:
    """One overload. A `member` is called on its first parameter: `text.find(pattern)`.

    `run` raises ValueError with one line where it has no answer. `map` stands for Kubernetes' own types too
    (Quantity, URL, IP, CIDR), which travel as maps with one key of their own.
    """

    name: str
    takes: tuple[Kind, ...]
    gives: Kind
    run: Callable[..., Any]
    member: bool = False

    @property
    def id(self) -> str:
        """Name of the overload, unique in an environment."""
        return f"{'_on_' if self.member else ''}{self.name}({','.join(self.takes)})"
