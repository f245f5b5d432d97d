"""Keep the OIDC issuers of an instance in one file, and the signing keys that were fetched from them in another.

Called by wiring.keys.

Invariant: a file of issuers that cannot be read is an error and not an empty list. Held by
tests/store/test_issuers.py::test_a_damaged_file_of_issuers_is_an_error.
Invariant: a damaged file of signing keys has none; they are fetched again. Held by
tests/store/test_issuers.py::test_damaged_signing_keys_are_fetched_again.
"""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, get_type_hints

from bateau.domain.errors import ControlError
from bateau.domain.issuer import Issuer, SigningKeys
from bateau.kit.json_value import Json, is_array, is_object, object_at, text_at, texts_at
from bateau.store.state_file import StateFile

_FORMAT: Final = 1
_KEYS_FORMAT: Final = 1
_LISTS: Final = ("audiences", "models")


class IssuerFile:
    """The file with the issuers of one instance. It is changed only while the file of keys is locked."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = StateFile(path)

    def load(self) -> tuple[Issuer, ...]:
        """Return the issuers, by name. Raises ControlError if the file is damaged or of a newer version."""
        tree = self._file.read()
        if not tree and not self._path.exists():
            return ()
        rows = tree.get("issuers")
        if tree.get("issuers_format") != _FORMAT or not is_array(rows):
            raise self._damaged("it has no issuers in a format that this version knows")
        return tuple(sorted((self._issuer(row) for row in rows), key=lambda each: each.name))

    def save(self, issuers: Sequence[Issuer]) -> None:
        """Write the issuers. Raises ControlError."""
        rows = [
            {**dataclasses.asdict(each), **{name: list(getattr(each, name)) for name in _LISTS}} for each in issuers
        ]
        self._file.save({"issuers_format": _FORMAT, "issuers": rows})

    def _issuer(self, row: Json) -> Issuer:
        if not is_object(row):
            raise self._damaged("an issuer is not an object")
        found: dict[str, object] = {}
        for name, kind in get_type_hints(Issuer).items():
            value = row.get(name)
            if name in _LISTS:
                found[name] = tuple(texts_at(row, name))
            elif not isinstance(value, (int, float) if kind is float else kind) or isinstance(value, bool):
                raise self._damaged(f"{name} of an issuer is {value!r}")
            else:
                found[name] = value
        if not found["audiences"]:
            raise self._damaged("an issuer has no audiences")
        return Issuer(**found)  # pyright: ignore[reportArgumentType]

    def _damaged(self, why: str) -> ControlError:
        return ControlError(
            f"{self._path} cannot be used: {why}", hint="restore it from a backup, or use the version that wrote it"
        )


class SigningKeyFile:
    """The file with the signing keys of issuers, by the name of the issuer."""

    def __init__(self, path: Path) -> None:
        self._file = StateFile(path)

    def load(self) -> Mapping[str, SigningKeys]:
        """Return the keys; none if the file is damaged."""
        tree = self._file.load()
        if tree.get("signing_keys_format") != _KEYS_FORMAT:
            return {}
        found = {name: _keys(object_at(tree, "issuers", name)) for name in object_at(tree, "issuers")}
        return {name: keys for name, keys in found.items() if keys}

    def save(self, keys: Mapping[str, SigningKeys]) -> None:
        """Write the keys. Raises ControlError."""
        rows = {name: dataclasses.asdict(each) for name, each in keys.items()}
        self._file.save({"signing_keys_format": _KEYS_FORMAT, "issuers": rows})


def _keys(row: Mapping[str, Json]) -> SigningKeys | None:
    fetched_at, failing_since = row.get("fetched_at"), row.get("failing_since")
    url, jwks = text_at(row, "url"), text_at(row, "jwks")
    if not url or not isinstance(fetched_at, int | float) or not _is_json(jwks):
        return None
    return SigningKeys(
        url=url,
        jwks=jwks,
        fetched_at=fetched_at,
        failing_since=failing_since if isinstance(failing_since, int | float) else None,
        error=text_at(row, "error"),
    )


def _is_json(text: str) -> bool:
    try:
        return is_object(json.loads(text))
    except ValueError:
        return False
