"""Keep the API keys of an instance in one file, without their secrets.

Called by wiring.declared_keys, wiring.keys and wiring.remote.

Invariant: a file that cannot be read is an error and not an empty list: an endpoint with keys never opens by itself.
Held by tests/store/test_keys.py::test_a_damaged_file_is_an_error_and_stays_as_it_is.
Invariant: changes by several processes at once do not overwrite each other. Held by
tests/store/test_keys.py::test_changes_at_the_same_time_are_all_kept.
"""

import contextlib
import dataclasses
import fcntl
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, get_type_hints

from bateau.domain.api_key import NUMBER_MAX, ApiKey
from bateau.domain.errors import ControlError
from bateau.kit.json_value import ReadJson, ReadObject, array_at, is_array, is_object, text_at, texts_at
from bateau.kit.money import Money
from bateau.kit.rfc3339 import is_time
from bateau.store.state_file import StateFile

_FORMAT: Final = 1
# A version that knows only the first would take keys of the specs for those of commands.
_FORMAT_WITH_SPECS: Final = 2
_MONEY: Final = ("money_per_day", "money_per_month")
_READ_APART: Final = ("models", *_MONEY)
_TIMES: Final = ("created_at", "expires_at")
_NUMBERS: Final = (
    "requests_per_minute",
    "concurrent",
    "tokens_per_minute",
    "tokens_per_day",
    "tokens_per_month",
    "kwh_per_day",
    "kwh_per_month",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Keyring:
    """The keys by name, in the order of names.

    `began` is true once there was a key: from then on, keys are required, even if the last one was revoked.
    `open_to_all` overrides that.
    """

    by_name: Mapping[str, ApiKey] = field(default_factory=dict[str, ApiKey])
    began: bool = False
    open_to_all: bool = False

    @property
    def required(self) -> bool:
        """Whether a request needs a key."""
        return self.began and not self.open_to_all

    def with_key(self, key: ApiKey) -> "Keyring":
        """Return these keys and one more, or with another one of its name."""
        found = {**self.by_name, key.name: key}
        return dataclasses.replace(self, by_name=dict(sorted(found.items())), began=True)

    def with_declared(self, declared: Sequence[ApiKey]) -> "Keyring":
        """Return the keys of commands, and those that the specs declare now.

        One with the name or the secret of a key of commands is left out.
        """
        found = {name: key for name, key in self.by_name.items() if key.declared_at is None}
        secrets = {key.sha256 for key in found.values()}
        found |= {key.name: key for key in declared if key.name not in found and key.sha256 not in secrets}
        return dataclasses.replace(self, by_name=dict(sorted(found.items())), began=self.began or bool(found))

    def without_key(self, name: str) -> "Keyring":
        """Return these keys without one."""
        return dataclasses.replace(self, by_name={each: key for each, key in self.by_name.items() if each != name})


class KeyFile:
    """The file with the keys of one instance."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = StateFile(path)

    @property
    def stamp(self) -> tuple[int, int] | None:
        """Something that differs after each change of the file; None without one."""
        return self._file.stamp

    def load(self) -> Keyring:
        """Return the keys. Raises ControlError if the file is damaged or of a newer version."""
        tree = self._file.read()
        if not tree and not self._path.exists():
            return Keyring()
        rows = tree.get("keys")
        if tree.get("keys_format") not in (_FORMAT, _FORMAT_WITH_SPECS) or not is_array(rows):
            raise self._damaged("it has no keys in a format that this version knows")
        keys = sorted((self._key(row) for row in rows), key=lambda key: key.name)
        return Keyring(
            by_name={key.name: key for key in keys},
            began=bool(tree.get("began")),
            open_to_all=bool(tree.get("open_to_all")),
        )

    @contextlib.contextmanager
    def changing(self) -> Generator[Keyring]:
        """Yield the keys while no other process changes them. Raises ControlError."""
        try:
            lock = self._path.with_suffix(".lock").open("a")
        except OSError as error:
            raise ControlError(
                f"cannot write beside {self._path}: {error.strerror}", hint="is there an instance of this name?"
            ) from error
        with lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield self.load()

    def save(self, keyring: Keyring) -> None:
        """Write the keys. Only within `changing`. Raises ControlError."""
        rows = [_row(key) for key in keyring.by_name.values()]
        more = {"began": keyring.began, "open_to_all": keyring.open_to_all}
        declared = any(key.declared_at is not None for key in keyring.by_name.values())
        self._file.save({"keys_format": _FORMAT_WITH_SPECS if declared else _FORMAT, "keys": rows, **more})

    def _key(self, row: ReadJson) -> ApiKey:
        if not is_object(row):
            raise self._damaged("a key is not an object")
        for name, kind in get_type_hints(ApiKey).items():
            if (
                name not in _READ_APART
                and not isinstance(row.get(name), kind)
                and not _is_whole_float(row.get(name), kind)
            ):
                raise self._damaged(f"{name} of a key is {row.get(name)!r}")
        if not texts_at(row, "models"):
            raise self._damaged("a key has no models")
        fields = {each.name: row[each.name] for each in dataclasses.fields(ApiKey) if each.name in row}
        try:
            money = {name: Money.parse(str(text)) for name in _MONEY if (text := row.get(name)) is not None}
            fields |= {**dict.fromkeys(_MONEY), **money, "models": tuple(texts_at(row, "models"))}
            key = ApiKey(**fields)  # pyright: ignore[reportArgumentType]
        except (TypeError, ValueError) as error:
            raise self._damaged(str(error)) from error
        if wrong := _wrong(key):
            raise self._damaged(f"{wrong} of {key.name} is {getattr(key, wrong)!r}")
        return key

    def _damaged(self, why: str) -> ControlError:
        return ControlError(
            f"{self._path} cannot be used: {why}", hint="restore it from a backup, or use the version that wrote it"
        )


class ServiceKeyFile:
    """The file with the keys of services, without their secrets; the control plane writes it whenever they change."""

    def __init__(self, path: Path) -> None:
        self._file = StateFile(path)

    def load(self) -> tuple[ApiKey, ...]:
        """Return the keys; none if the file is damaged, because the control plane writes it again."""
        with contextlib.suppress(ControlError):
            tree = self._file.read()
            rows = [row for row in array_at(tree, "keys") if is_object(row)]
            if tree.get("keys_format") == _FORMAT:
                return tuple(
                    ApiKey(
                        name=text_at(row, "name"),
                        owner=text_at(row, "name"),
                        sha256=text_at(row, "sha256"),
                        models=tuple(texts_at(row, "models")),
                    )
                    for row in rows
                    if text_at(row, "name") and text_at(row, "sha256") and texts_at(row, "models")
                )
        return ()

    def save(self, keys: Sequence[ApiKey]) -> None:
        """Write the keys. Raises ControlError."""
        rows = [{"name": key.name, "sha256": key.sha256, "models": list(key.models)} for key in keys]
        self._file.save({"keys_format": _FORMAT, "keys": rows})


def _wrong(key: ApiKey) -> str | None:
    """Return the name of a field whose value no command writes, and no gateway could use; None if there is none."""
    for name in _TIMES:
        if (time := getattr(key, name)) is not None and not is_time(time):
            return name
    for name in _NUMBERS:
        if (number := getattr(key, name)) is not None and not 0 < number <= NUMBER_MAX:  # not NaN either
            return name
    return None


def _is_whole_float(value: object, kind: object) -> bool:
    """Whether JSON has written a float without a point."""
    return isinstance(value, int) and not isinstance(value, bool) and kind in (float, float | None)


def _row(key: ApiKey) -> ReadObject:
    fields = {each.name: getattr(key, each.name) for each in dataclasses.fields(key)}
    money = {name: str(amount) for name in _MONEY if (amount := fields[name])}
    return {**fields, **money, "models": list(key.models)}
