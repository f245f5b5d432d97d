"""Keep the issuers by which people sign in to the dashboard of an instance, in one file without a secret.

Called by wiring.sign_in_issuers.

Invariant: a file that cannot be read, or in which an issuer has a field that no command writes, is an error and not an
empty list. Held by tests/store/test_sign_in.py::test_a_damaged_file_is_an_error.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Final

from bateau.domain.errors import ControlError
from bateau.domain.sign_in import Role, SignInIssuer
from bateau.kit.json_value import Json, array_at, is_array, is_object, text_at, texts_at
from bateau.kit.rfc3339 import is_time
from bateau.store.state_file import StateFile

_FORMAT: Final = 1
_TEXTS: Final = ("name", "url", "client_id", "roles_claim", "name_claim")
_OPTIONAL: Final = ("secret_file", "authority")


class SignInFile:
    """The file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = StateFile(path)

    @property
    def stamp(self) -> tuple[int, int] | None:
        """Something that differs after each change of the file; None without one."""
        return self._file.stamp

    def load(self) -> tuple[SignInIssuer, ...]:
        """Return the issuers, by name. Raises ControlError if the file is damaged or of a newer version."""
        tree = self._file.read()
        if not tree and not self._path.exists():
            return ()
        rows = tree.get("issuers")
        if tree.get("sign_in_format") != _FORMAT or not is_array(rows):
            raise self._damaged("it has no issuers in a format that this version knows")
        return tuple(sorted((self._issuer(row) for row in rows), key=lambda each: each.name))

    def save(self, issuers: Sequence[SignInIssuer]) -> None:
        """Write the issuers. Raises ControlError."""
        rows: list[Mapping[str, Json]] = [
            {**asdict(each), "roles": [list(pair) for pair in each.roles], "scopes": list(each.scopes)}
            for each in issuers
        ]
        self._file.save({"sign_in_format": _FORMAT, "issuers": rows})

    def _issuer(self, row: Json) -> SignInIssuer:
        if not is_object(row):
            raise self._damaged("an issuer is not an object")
        texts = {name: text_at(row, name) for name in _TEXTS}
        is_odd = any(row.get(name) is not None and not text_at(row, name) for name in _OPTIONAL)
        created_at, pairs = row.get("created_at"), row.get("roles")
        roles = [pair for each in array_at(pairs) if (pair := _pair(each))]
        if (
            is_odd
            or not all(texts.values())
            or not is_time(created_at)
            or not roles
            or len(roles) != len(array_at(pairs))
        ):
            raise self._damaged("an issuer has a field that no version writes")
        return SignInIssuer(
            **texts,
            secret_file=text_at(row, "secret_file") or None,
            authority=text_at(row, "authority") or None,
            roles=tuple(roles),
            scopes=tuple(texts_at(row, "scopes")),
            created_at=created_at,
        )

    def _damaged(self, why: str) -> ControlError:
        return ControlError(
            f"{self._path} cannot be used: {why}", hint="restore it from a backup, or use the version that wrote it"
        )


def _pair(tree: Json) -> tuple[Role, str] | None:
    match tree:
        case [("view" | "operate" | "admin") as role, str(value)] if value:
            return role, value
        case _:
            return None
