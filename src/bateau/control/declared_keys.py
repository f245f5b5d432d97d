"""Have the gateway admit the API keys that the specs declare.

Called by control.loop.

Invariant: as long as this control plane has not read specs without errors, the keys in force stay in force. Held by
tests/local/test_declared_keys.py::test_specs_that_cannot_be_read_drop_no_key_and_open_nothing.
"""

from collections.abc import Sequence

from bateau.control.troubles import Troubles
from bateau.domain.api_key import ApiKey
from bateau.domain.errors import BateauError
from bateau.ports.declared_keys import DeclaredKeyring


def follow_declared(keyring: DeclaredKeyring | None, keys: Sequence[ApiKey] | None, troubles: Troubles) -> None:
    """Admit these keys of the specs, and no others of them. `keys` is None until specs without errors were read."""
    if keyring is None or keys is None:
        return
    try:
        keyring.follow(keys)
        troubles.clear("keys")
    except BateauError as error:  # a command has made a key of that name, or the disk is full
        troubles.report("keys", error)
