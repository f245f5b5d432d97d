"""The API keys of services, derived from one secret of the instance.

Called by wiring.local.

Invariant: a control plane that follows another one derives the same keys, so that no service is restarted for them.
Held by tests/local/test_service_keys.py::test_an_app_may_ask_the_models_that_it_uses_and_no_other.
Refused: keys in `keys.json`. The first of them would close the endpoint for everybody else.
"""

import hashlib
import hmac
import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from bateau.domain.api_key import ApiKey
from bateau.domain.errors import ControlError
from bateau.kit.secret_key import ENTROPY_BYTES, hash_of, hint_of, key_of
from bateau.wiring.keys import Keys
from bateau.wiring.paths import Paths
from bateau.wiring.private_files import write_private

_SECRET_BYTES: Final = 32


class ServiceKeys:
    """Satisfies `bateau.ports.service_keys.ServiceKeyring`."""

    def __init__(self, where: Paths, keys: Keys) -> None:
        self._path = where.state / "service-keys.secret"
        self._keys = keys
        self._secret: bytes | None = None
        self._followed: Mapping[str, Sequence[str]] | None = None

    def secret(self, service: str) -> str:
        """Return the key of a service. Raises ControlError if the secret of the instance cannot be read or stored."""
        if self._secret is None:
            self._secret = _stored(self._path)
        digest = hmac.new(self._secret, service.encode(), hashlib.sha256).digest()
        return key_of(digest[:ENTROPY_BYTES])

    def follow(self, models: Mapping[str, Sequence[str]]) -> None:
        """Admit the keys of these services, each for the names of its models, and no others. Raises ControlError."""
        if models == self._followed:
            return
        self._keys.admit_services([self._key(service, names) for service, names in sorted(models.items())])
        self._followed = dict(models)

    def _key(self, service: str, names: Sequence[str]) -> ApiKey:
        secret = self.secret(service)
        return ApiKey(
            name=service,
            owner=service,
            sha256=hash_of(secret),
            hint=hint_of(secret),
            models=tuple(names),
        )


def _stored(path: Path) -> bytes:
    """Return the secret in a file, which is written if there is none."""
    try:
        if not path.exists():
            write_private(path, secrets.token_hex(_SECRET_BYTES))
        found = bytes.fromhex(path.read_text(encoding="ascii"))
    except (OSError, ValueError) as error:
        raise ControlError(
            f"the keys of services cannot be made: {path} cannot be used: {error}",
            hint="remove it, and services that use models restart with other keys",
        ) from error
    if len(found) != _SECRET_BYTES:
        raise ControlError(f"{path} is damaged", hint="remove it, and services that use models restart with other keys")
    return found
