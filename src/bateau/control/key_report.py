"""The keys of an instance with their states, as the pages of the dashboard show them.

Made by wiring.key_reports; shown by ui.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from bateau.control.budgets import Spent
from bateau.domain.api_key import ApiKey

KeyState = Literal["active", "expired", "used up"]


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyUse:
    """A key. `spent` says how much of its budgets is used; None while that is not known.

    A key that is used up is refused `until` a time, in seconds since the epoch.
    """

    key: ApiKey
    state: KeyState = "active"
    spent: Sequence[Spent] | None = ()
    until: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class KeysReport:
    """All keys, in the order of their names.

    `required`: a request needs one. `open_to_all`: nobody does, because the endpoint was started with --open.
    `counts_concurrent`: the gateway has the native filter, which limits requests at once. With a `trouble`, the keys
    cannot be read, and it says why.
    """

    keys: tuple[KeyUse, ...] = ()
    required: bool = False
    open_to_all: bool = False
    has_issuers: bool = False
    counts_concurrent: bool = True
    trouble: str | None = None

    def named(self, name: str) -> KeyUse | None:
        """Return one key, None if there is none of this name."""
        return next((each for each in self.keys if each.key.name == name), None)
