"""Add the issuers by which people sign in to the dashboard of an instance, and remove them.

Called by cli.sign_in, ui.dashboard and wiring.sign_in.

Invariant: the secret of a client is read from its file when it is used, and is stored nowhere else. Held by
tests/ui/test_sign_in_browser.py::test_no_secret_is_in_a_log_a_page_or_a_list_of_processes.
"""

import asyncio
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from bateau.domain.errors import ControlError
from bateau.domain.sign_in import SignInIssuer
from bateau.kit.suggest import closest
from bateau.sources.provider import fetched_provider, in_time
from bateau.store.sign_in import SignInFile
from bateau.wiring.issuers import host_of
from bateau.wiring.keys import NAME
from bateau.wiring.paths import make, paths

_CLAIM: Final = re.compile(r"[A-Za-z0-9_.:/~@-]{1,200}")
_SCOPE: Final = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]{1,200}")
_TEXT_MAX: Final = 500
_SECRET_BYTES_MAX: Final = 4096
_ISSUERS_MAX: Final = 10


class SignInIssuers:
    """The issuers of one instance, by which people sign in."""

    def __init__(self, instance: str, environ: Mapping[str, str]) -> None:
        self._paths = paths(instance, environ)
        self._environ = environ
        self._file = SignInFile(self._paths.state / "sign-in.json")
        self._known: tuple[tuple[int, int] | None, tuple[SignInIssuer, ...]] = (None, ())

    def all(self) -> Sequence[SignInIssuer]:
        """Return the issuers, by name. The file is read when it has changed. Raises ControlError if it is damaged."""
        if (stamp := self._file.stamp) != self._known[0]:
            self._known = stamp, self._file.load()
        return self._known[1]

    def add(self, wanted: SignInIssuer) -> SignInIssuer:
        """Let people sign in by one more issuer. Without a name it gets that of its host.

        Raises ControlError and SourceError.
        """
        host = host_of(wanted.url)
        issuer = replace(
            wanted,
            name=wanted.name or host,
            secret_file=_absolute(wanted.secret_file),
            authority=_absolute(wanted.authority),
        )
        _check(issuer)
        secret_of(issuer)
        there = self._file.load()
        if any(each.name == issuer.name for each in there):
            raise ControlError(
                f"people can sign in by an issuer {issuer.name} already",
                hint=f"remove it first: bateau sign-in remove {issuer.name}; or name this one with --as",
            )
        if len(there) >= _ISSUERS_MAX:
            raise ControlError(
                f"there are {_ISSUERS_MAX} issuers already", hint="remove one: bateau sign-in remove NAME"
            )
        asyncio.run(self._fetched(issuer))
        make(self._paths)
        self._file.save([*there, issuer])
        return issuer

    def remove(self, name: str) -> SignInIssuer:
        """Let nobody sign in by an issuer from now on; the sessions that it has opened end. Raises ControlError."""
        there = self._file.load()
        found = next((each for each in there if each.name == name), None)
        if found is None:
            near = closest(name, [each.name for each in there])
            hint = f"did you mean {near}?" if near else "`bateau sign-in list` lists them"
            raise ControlError(f"people cannot sign in by an issuer {name}", hint=hint)
        self._file.save([each for each in there if each is not found])
        return found

    async def _fetched(self, issuer: SignInIssuer) -> None:
        """Raise SourceError if people could not sign in by an issuer."""
        async with in_time(issuer):
            await fetched_provider(issuer, self._environ)


def secret_of(issuer: SignInIssuer) -> str | None:
    """Return the secret of the client, None for a public client. Raises ControlError if its file cannot be used."""
    if issuer.secret_file is None:
        return None
    try:
        with Path(issuer.secret_file).open("rb") as file:
            content = file.read(_SECRET_BYTES_MAX + 1)
    except OSError as error:
        raise ControlError(
            f"the secret of the client cannot be read from {issuer.secret_file}: {error.strerror}",
            hint="let the user of the control plane read the file",
        ) from error
    text = content.decode("ascii", "replace").strip()
    if not text or not text.isascii() or not text.isprintable() or len(content) > _SECRET_BYTES_MAX:
        raise ControlError(
            f"{issuer.secret_file} does not have the secret of a client",
            hint="it needs one line of printable ASCII: the secret and nothing else",
        )
    return text


def _absolute(path: str | None) -> str | None:
    return str(Path(path).absolute()) if path else None


def _check(issuer: SignInIssuer) -> None:
    """Raise ControlError for a field that no issuer can have."""
    if not NAME.fullmatch(issuer.name):
        raise ControlError(
            f"{issuer.name!r} cannot be the name of an issuer",
            hint="name it with --as: up to 63 lower-case letters, digits, dots and dashes, such as corp",
        )
    for text in (issuer.url, issuer.client_id):
        if not text.isascii() or not text.isprintable() or not 0 < len(text) <= _TEXT_MAX:
            raise ControlError(
                f"{text!r} cannot be in a token's `iss` or `aud`", hint=f"use up to {_TEXT_MAX} characters of ASCII"
            )
    _check_claims(issuer)


def _check_claims(issuer: SignInIssuer) -> None:
    for claim in (issuer.roles_claim, issuer.name_claim):
        if not _CLAIM.fullmatch(claim):
            raise ControlError(f"{claim!r} cannot be the name of a claim", hint="write it as in the token: groups")
    for scope in issuer.scopes:
        if not _SCOPE.fullmatch(scope):
            raise ControlError(f"{scope!r} is not a scope", hint="write one for each --scope, such as groups")
    if not issuer.roles:
        raise ControlError(
            "nobody could sign in: no value of a claim has a role",
            hint="map one: --role operate=platform-team",
        )
    for _, value in issuer.roles:
        if not value.isprintable() or not 0 < len(value) <= _TEXT_MAX:
            raise ControlError(f"{value!r} is not the value of a claim", hint="write --role view=GROUP")
