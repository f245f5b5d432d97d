"""Admit the API keys that the specs declare, beside those that commands have created.

Called by wiring.local.

Invariant: a key of a command stays as it is, whatever the specs declare. Held by
tests/wiring/test_declared_keys.py::test_a_key_of_a_command_stays_as_it_is.
"""

from collections.abc import Sequence

from bateau.domain.api_key import ApiKey
from bateau.domain.errors import ControlError
from bateau.store.keys import Keyring
from bateau.wiring.keys import Keys


class DeclaredKeys:
    """Satisfies `bateau.ports.declared_keys.DeclaredKeyring`."""

    def __init__(self, keys: Keys) -> None:
        self._keys = keys
        self._followed: Sequence[ApiKey] | None = None
        self._stamp: tuple[int, int] | None = None
        self._left_out = ""

    def follow(self, keys: Sequence[ApiKey]) -> None:
        """Admit these keys of the specs, and no others of them. Raises ControlError."""
        if keys is not self._followed or self.is_outdated:
            found = self._keys.declare(keys)
            self._followed, self._stamp = keys, self._keys.stamp
            self._left_out = "; ".join(_why(key, found) for key in keys if found.by_name.get(key.name) != key)
        if self._left_out:
            raise ControlError(self._left_out)

    @property
    def is_outdated(self) -> bool:
        """Whether a command has changed a key since, so that a key may be admitted that was left out."""
        return self._followed is not None and self._keys.stamp != self._stamp


def _why(key: ApiKey, there: Keyring) -> str:
    """Return why a key of the specs was left out: its name is taken, or its secret."""
    by_secret = {each.sha256: each.name for each in there.by_name.values()}
    name = key.name if key.name in there.by_name else by_secret.get(key.sha256, "another key")
    what = f"the name of {name}" if name == key.name else f"the secret of {name}"
    return (
        f"Key {key.name} at {key.declared_at} has no effect: it has {what}, which `bateau keys create` has made and "
        f"which stays as it is; revoke that one with `bateau keys revoke {name}`, or change the document"
    )
