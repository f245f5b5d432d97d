"""The port of the API keys that the specs declare.

Used by control. Satisfied by wiring.declared_keys.DeclaredKeys.
"""

from collections.abc import Sequence
from typing import Protocol

from bateau.domain.api_key import ApiKey


class DeclaredKeyring(Protocol):
    """The keys of the specs, beside those that commands have created."""

    def follow(self, keys: Sequence[ApiKey]) -> None:
        """Admit these keys of the specs, and no others of them.

        Raises BateauError if one of them cannot be admitted; all others are.
        """
        ...
