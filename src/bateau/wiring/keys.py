"""Change the API keys and the issuers of an instance, and write the filters by which Envoy checks both.

Called by cli.issuers, cli.keys, cli.up, ui and wiring.

Invariant: a change is in the files of the gateway when a function returns, whether a control plane runs or not. Held by
tests/local/test_keys.py::test_a_revoked_key_is_refused_within_a_second_while_no_control_plane_runs.
"""

import contextlib
import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from bateau.domain.api_key import GLOB, NUMBER_MAX, REQUESTS_MAX, ApiKey
from bateau.domain.errors import ControlError
from bateau.domain.issuer import Issuer, SigningKeys
from bateau.domain.used import Refusal
from bateau.kit.json_value import ReadJson, text_at
from bateau.kit.secret_key import ENTROPY_BYTES, hash_of, hint_of, key_of
from bateau.kit.suggest import closest
from bateau.store.issuers import IssuerFile, SigningKeyFile
from bateau.store.keys import KeyFile, Keyring, ServiceKeyFile
from bateau.store.state_file import StateFile
from bateau.traffic.envoy.gate import Gate, Refused, gate_filter, refused_in
from bateau.traffic.envoy.issuer_filters import Known
from bateau.traffic.envoy.key_filters import BUDGETS, GATE, MODEL_TOKENS, budget_filter, file_of, key_filters
from bateau.traffic.envoy.listener import INVALID_BODY, MISSING_MODEL
from bateau.traffic.envoy.model_limits import model_tokens_filter
from bateau.traffic.envoy.names import MODEL_HEADER
from bateau.wiring.paths import make, paths
from bateau.wiring.private_files import write_private

NAME: Final = re.compile(r"[a-z0-9]([a-z0-9._-]{0,61}[a-z0-9])?")
_CHAIN_FORMAT: Final = 1
_NUMBERS: Final = ("concurrent", "tokens_per_minute", "tokens_per_day", "tokens_per_month")


class Keys:
    """The API keys of one instance."""

    def __init__(self, instance: str, environ: Mapping[str, str]) -> None:
        self._paths = paths(instance, environ)
        self._file = KeyFile(self._paths.state / "keys.json")
        self._services = ServiceKeyFile(self._paths.state / "service-keys.json")
        self._issuers = IssuerFile(self._paths.state / "issuers.json")
        self._signing_keys = SigningKeyFile(self._paths.state / "signing-keys.json")
        # Whether a key is needed, and the stamp of that answer.
        self._needed: tuple[tuple[int, int] | None, bool] | None = None
        # Which filters the gateway has, for commands that write them while no control plane runs.
        self._chain = StateFile(self._paths.state / "filters.json")

    @property
    def directory(self) -> Path:
        """The directory of the gateway's filters."""
        return self._paths.state / "gateway"

    @property
    def stamp(self) -> tuple[int, int] | None:
        """Something that differs after each change of the keys; None if there was none."""
        return self._file.stamp

    def are_needed(self) -> bool:
        """Whether requests need a key; also if that cannot be read. The file is read when it has changed."""
        if self._needed is None or self._needed[0] != self.stamp:
            stamp = self.stamp
            try:
                self._needed = (stamp, self.load().required)
            except ControlError:
                return True
        return self._needed[1]

    def load(self) -> Keyring:
        """Return the keys. Raises ControlError if the file is damaged."""
        return self._file.load()

    def of_services(self) -> Sequence[ApiKey]:
        """Return the keys that services of the specs have been given."""
        return self._services.load()

    def named(self, name: str) -> ApiKey:
        """Return one key. Raises ControlError if there is none of this name."""
        return _named(self.load(), name)

    def create(self, wanted: ApiKey) -> tuple[ApiKey, str]:
        """Add a key with a new secret, and return both; the secret is kept nowhere. Raises ControlError."""
        make(self._paths)
        key, secret = with_secret(wanted)
        with self._file.changing() as keyring:
            if there := keyring.by_name.get(wanted.name):
                hint = f"choose another name, or give it a new secret: bateau keys rotate {wanted.name}"
                if there.declared_at:
                    hint = f"choose another name: {there.declared_at} declares it"
                raise ControlError(f"there is a key {wanted.name} already", hint=hint)
            self._store(keyring.with_key(key))
        return key, secret

    def rotate(self, name: str) -> tuple[ApiKey, str]:
        """Give a key a new secret; the old one is refused from now on. Raises ControlError."""
        secret, sha256, hint = _secret()
        with self._file.changing() as keyring:
            there = "give it a new secret there: bateau keys rotate {} --to-spec {}"
            key = replace(_of_command(_named(keyring, name), there), sha256=sha256, hint=hint)
            self._store(keyring.with_key(key))
        return key, secret

    def revoke(self, name: str) -> tuple[ApiKey, Keyring]:
        """Remove a key, and return it with those that are left. Raises ControlError."""
        with self._file.changing() as keyring:
            key = _of_command(_named(keyring, name), "remove the document of {} from {}, and save or commit that")
            left = keyring.without_key(name)
            self._store(left)
        return key, left

    def declare(self, declared: Sequence[ApiKey]) -> Keyring:
        """Admit the keys of the specs, and no others of them, and return all keys.

        One with the name or the secret of a key that a command has created is left out. Raises ControlError.
        """
        with self._file.changing() as keyring:
            found = keyring.with_declared(declared)
            if found != keyring:
                self._store(found)
        return found

    def issuers(self) -> Sequence[Issuer]:
        """Return the issuers whose tokens get in. Raises ControlError if their file is damaged."""
        return self._issuers.load()

    def signing_keys(self) -> Mapping[str, SigningKeys]:
        """Return the keys of issuers as they were fetched last, by the name of the issuer. Raises ControlError."""
        return {issuer.name: keys for issuer, keys in _known(self._issuers.load(), self._signing_keys.load())}

    def admit_issuer(self, issuer: Issuer, keys: SigningKeys) -> None:
        """Let the tokens of one more issuer in from now on. Raises ControlError."""
        make(self._paths)
        with self._file.changing() as keyring:
            before = self._issuers.load()
            for each in before:
                if issuer.name == each.name or issuer.url == each.url:
                    raise ControlError(
                        f"there is an issuer {each.name} already, {each.url}",
                        hint=f"remove it first: bateau keys issuer remove {each.name}; or name this one with --as",
                    )
            signing_keys = {**self.signing_keys(), issuer.name: keys}
            issuers = (*before, issuer)
            self._publish(replace(keyring, began=True), _known(issuers, signing_keys))
            # In this order, an endpoint that has an issuer is never open.
            self._file.save(replace(keyring, began=True))
            self._signing_keys.save(signing_keys)
            self._issuers.save(issuers)

    def dismiss_issuer(self, name: str) -> Issuer:
        """Refuse the tokens of an issuer from now on, and return it. Raises ControlError."""
        with self._file.changing() as keyring:
            issuers = {each.name: each for each in self._issuers.load()}
            if name not in issuers:
                near = closest(name, issuers)
                raise ControlError(
                    f"there is no issuer {name}",
                    hint=f"did you mean {near}?" if near else "`bateau keys issuer list` shows all",
                )
            left = [each for each in issuers.values() if each.name != name]
            self._publish(keyring, _known(left, self._signing_keys.load()))
            self._issuers.save(left)
        return issuers[name]

    def keep_signing_keys(self, found: Mapping[str, SigningKeys]) -> None:
        """Verify tokens with these keys from now on, by the name of the issuer. Raises ControlError."""
        with self._file.changing() as keyring:
            issuers, before = self._issuers.load(), self.signing_keys()
            # An issuer may have been removed meanwhile, or another one may have its name.
            known = _known(issuers, {**before, **{issuer.name: keys for issuer, keys in _known(issuers, found)}})
            if {name: keys.jwks for name, keys in before.items()} != {each.name: keys.jwks for each, keys in known}:
                self._publish(keyring, known)
            self._signing_keys.save({issuer.name: keys for issuer, keys in known})

    def refuse(self, refused: Refused) -> None:
        """Refuse keys whose budgets are used up, until a time: see `budget_filter`. Raises OSError and ControlError."""
        write_private(self._file_of(BUDGETS), budget_filter(refused))
        if self._written_gate:
            with self._file.changing() as keyring:
                self._write_gate(self._admitted(keyring), refused)

    @property
    def gate(self) -> Gate | None:
        """The native filter of the gateway; None if it has Envoy's own filters. Raises ControlError."""
        return None if self._chain.read().get("used") is False else self._written_gate

    def use(self, gate: Gate | None) -> None:
        """Have the gateway use the native filter from now on, or only Envoy's own. `publish` has to follow.

        A native filter that was used before is still written: an Envoy may have it until it has the other ones, and its
        old connections after that. Raises ControlError.
        """
        make(self._paths)
        with self._file.changing():
            written = gate or self._written_gate
            found: dict[str, ReadJson] = {}
            if written:
                found = {"library": str(written.library), "ledger": str(written.ledger or "")}
                found["refuses_unwritten"] = written.refuses_unwritten
            self._chain.save({"filters_format": _CHAIN_FORMAT, "used": gate is not None, **found})

    def refuse_at_models(self, refused: Sequence[Refusal]) -> None:
        """Refuse requests for models whose tokens are used up. Raises OSError."""
        write_private(Path(file_of(self.directory, MODEL_TOKENS)), model_tokens_filter(refused))

    def publish(self, *, open_to_all: bool, required: bool = False) -> Keyring:
        """Write the gateway's filters, and return the keys; with `open_to_all`, nobody needs one of them.

        With `required`, everybody does from now on, even if there is none yet. Raises ControlError if the file is
        damaged or the disk is full.
        """
        make(self._paths)
        with self._file.changing() as keyring:
            published = replace(keyring, open_to_all=open_to_all, began=keyring.began or required)
            if published == keyring:
                self._publish(keyring)
            else:
                self._store(published)
        return published

    def admit_services(self, keys: Sequence[ApiKey]) -> None:
        """Let the gateway know the keys of services from now on, beside those of people. Raises ControlError."""
        with self._file.changing() as keyring:
            self._services.save(keys)
            self._publish(keyring)

    def _store(self, keyring: Keyring) -> None:
        """Give keys to the gateway, and then keep them: a command that fails in between can be repeated."""
        self._publish(keyring)
        self._file.save(keyring)

    def _publish(self, keyring: Keyring, issuers: Known | None = None) -> None:
        """Write the gateway's filters; without `issuers`, for those that are kept. Raises ControlError."""
        keys = self._admitted(keyring)
        known = _known(self._issuers.load(), self._signing_keys.load()) if issuers is None else issuers
        found = key_filters(keys, model_header=MODEL_HEADER, no_model=(MISSING_MODEL, INVALID_BODY), issuers=known)
        by_reader = {BUDGETS: budget_filter({}), MODEL_TOKENS: model_tokens_filter(())}
        try:
            for name, content in by_reader.items():
                if not Path(file_of(self.directory, name)).exists():  # whoever reads the ledger fills it
                    write_private(Path(file_of(self.directory, name)), content)
            for name, content in found.items():
                write_private(self._file_of(name), content)
            self._write_gate(keys, None)
        except OSError as error:
            raise ControlError(
                f"cannot write to {self.directory}: {error.strerror}; the gateway may still have the former keys",
                hint="free some space, and repeat the command",
            ) from error

    def _admitted(self, keyring: Keyring) -> Sequence[ApiKey] | None:
        """Return the keys that get in; None where no key is needed."""
        return (*keyring.by_name.values(), *self._services.load()) if keyring.required else None

    def _write_gate(self, keys: Sequence[ApiKey] | None, refused: Refused | None) -> None:
        """Write the native filter, if the gateway may have it. Without `refused`, its refusals stay. Raises OSError."""
        path = self._file_of(GATE)
        gate = self._written_gate
        if gate is None:
            path.unlink(missing_ok=True)
            return
        if refused is None:
            refused = {}
            with contextlib.suppress(FileNotFoundError, ValueError):
                refused = refused_in(path.read_text(encoding="utf-8"))
        write_private(path, gate_filter(gate, keys, refused))

    @property
    def _written_gate(self) -> Gate | None:
        """The native filter that is written; None if none was used yet. Raises ControlError."""
        tree = self._chain.read()
        library, ledger = text_at(tree, "library"), text_at(tree, "ledger")
        if tree.get("filters_format") != _CHAIN_FORMAT or not library:
            return None
        return Gate(
            library=Path(library),
            ledger=Path(ledger) if ledger else None,
            refuses_unwritten=tree.get("refuses_unwritten") is True,
        )

    def _file_of(self, name: str) -> Path:
        return Path(file_of(self.directory, name))


def _known(issuers: Sequence[Issuer], found: Mapping[str, SigningKeys]) -> Known:
    """Return the issuers whose keys were fetched: nobody could verify the tokens of the others."""
    return [(each, keys) for each in issuers if (keys := found.get(each.name)) and keys.url == each.url]


def with_secret(wanted: ApiKey) -> tuple[ApiKey, str]:
    """Return a key with a new secret, and the secret, which is kept nowhere.

    Raises ControlError for a name or a limit that no key can have.
    """
    _check(wanted)
    secret, sha256, hint = _secret()
    return replace(wanted, sha256=sha256, hint=hint, models=tuple(sorted(set(wanted.models)))), secret


def _secret() -> tuple[str, str, str]:
    secret = key_of(secrets.token_bytes(ENTROPY_BYTES))
    return secret, hash_of(secret), hint_of(secret)


def _named(keyring: Keyring, name: str) -> ApiKey:
    if name in keyring.by_name:
        return keyring.by_name[name]
    near = closest(name, keyring.by_name)
    raise ControlError(
        f"there is no key {name}", hint=f"did you mean {near}?" if near else "`bateau keys list` shows all"
    )


def _of_command(key: ApiKey, hint: str) -> ApiKey:
    """Return a key that a command may change. Raises ControlError for one of the specs."""
    if key.declared_at is None:
        return key
    where = key.declared_at
    raise ControlError(
        f"{key.name} is a key of the specs ({where}), so it is changed there",
        hint=hint.format(key.name, where.rpartition(":")[0]),
    )


def _check(wanted: ApiKey) -> None:
    for error in wrong_fields(wanted).values():
        raise error


def wrong_fields(wanted: ApiKey) -> Mapping[str, ControlError]:
    """Return the first error of each field of a key that no key can have, by the name of the field."""
    found: dict[str, ControlError] = {}
    if not NAME.fullmatch(wanted.name):
        found["name"] = ControlError(
            f"{wanted.name!r} cannot be the name of a key",
            hint="use up to 63 lower-case letters, digits, dots and dashes, such as ci or team-search",
        )
    for field, text in (("owner", wanted.owner), ("note", wanted.note)):
        if not text.isprintable():
            found[field] = ControlError(
                f"{text!r} has characters that cannot be printed", hint="write it on one line, as text"
            )
    requests = wanted.requests_per_minute
    if requests is not None and not 0 < requests <= REQUESTS_MAX:
        found["requests_per_minute"] = ControlError(
            f"{requests} requests in a minute cannot be counted", hint=f"use 1 to {REQUESTS_MAX}, or no limit"
        )
    for field in _NUMBERS:
        number: int | None = getattr(wanted, field)
        if number is not None and number > NUMBER_MAX:
            found[field] = ControlError(f"{number} is too large a limit", hint=f"use {NUMBER_MAX} at most, or no limit")
    for glob in wanted.models:
        if not re.fullmatch(GLOB, glob):
            found["models"] = ControlError(
                f"{glob!r} is not a name of models", hint="write a name or a glob: --models 'chat*' --models embed"
            )
    return found
