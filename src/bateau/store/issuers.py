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

from bateau.domain.api_key import REQUESTS_MAX
from bateau.domain.errors import ControlError
from bateau.domain.issuer import Issuer, SigningKeys
from bateau.kit.json_value import Json, is_array, is_object, object_at, text_at, texts_at
from bateau.kit.jwks import public_keys
from bateau.kit.rfc3339 import is_time
from bateau.store.state_file import StateFile

_FORMAT: Final = 1
_KEYS_FORMAT: Final = 1
_LISTS: Final = ("audiences", "models")
_TEXTS: Final = ("name", "url", "owner_claim", "models_claim")
_IN_LUA: Final = ("name", "owner_claim", "models_claim", "models")
_QUOTES: Final = frozenset('"\\')


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
        issuer = Issuer(**found)  # pyright: ignore[reportArgumentType]
        if wrong := _wrong(issuer):
            raise self._damaged(f"{wrong} of an issuer is {getattr(issuer, wrong)!r}")
        return issuer

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


def _wrong(issuer: Issuer) -> str | None:
    """Return the name of a field whose value no command writes, and no gateway could use; None if there is none."""
    texts = {name: (getattr(issuer, name),) for name in _TEXTS} | {name: getattr(issuer, name) for name in _LISTS}
    for name, values in texts.items():
        refused = _QUOTES if name in _IN_LUA else frozenset[str]()
        if not all(text.isascii() and text.isprintable() and not refused & {*text} for text in values):
            return name
    if not is_time(issuer.created_at):
        return "created_at"
    requests = issuer.requests_per_minute
    return "requests_per_minute" if requests is not None and not 0 < requests <= REQUESTS_MAX else None


def _keys(row: Mapping[str, Json]) -> SigningKeys | None:
    fetched_at, failing_since = row.get("fetched_at"), row.get("failing_since")
    url, jwks = text_at(row, "url"), _public(text_at(row, "jwks"))
    if not url or jwks is None or not is_time(fetched_at):
        return None
    return SigningKeys(
        url=url,
        jwks=jwks,
        fetched_at=fetched_at,
        failing_since=failing_since if is_time(failing_since) else None,
        error=text_at(row, "error"),
    )


def _public(text: str) -> str | None:
    """Return the keys of a text that a gateway can use, None if there are none."""
    try:
        tree: object = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return public_keys(tree) if is_object(tree) else None
