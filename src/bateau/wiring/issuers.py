"""Add OIDC issuers to an instance, remove them, and keep their keys fresh.

Called by cli.issuers, wiring.chores, wiring.local and wiring.sign_in_issuers.

Invariant: an issuer that does not answer keeps its last keys, also across a restart of anything; when that began is
kept. Held by tests/local/test_issuers.py::test_an_issuer_that_is_gone_changes_nothing.
"""

import asyncio
import contextlib
import logging
import re
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final

from bateau.domain.errors import ControlError, SourceError
from bateau.domain.issuer import Issuer, SigningKeys
from bateau.kit.url import UrlError, parsed
from bateau.kit.visible import visible
from bateau.sources.http import refuse_plain_http
from bateau.sources.issuer import fetched_keys
from bateau.wiring.keys import GLOB, NAME, REQUESTS_MAX, Keys

logger = logging.getLogger(__name__)

# After this time at most, a key that an issuer has begun to sign with is accepted.
REFRESH_S: Final = 30.0
_CLAIM: Final = re.compile(r"[A-Za-z0-9_.:/~@-]{1,200}")
_TEXT_MAX: Final = 500


class Issuers:
    """The issuers of one instance."""

    def __init__(self, keys: Keys, environ: Mapping[str, str]) -> None:
        self._keys = keys
        self._environ = environ

    def add(self, wanted: Issuer) -> tuple[Issuer, SigningKeys]:
        """Fetch the keys of an issuer, and let its tokens in. Without a name it gets that of its host.

        Raises ControlError and SourceError.
        """
        host = host_of(wanted.url)
        issuer = replace(
            wanted,
            name=wanted.name or host,
            audiences=tuple(dict.fromkeys(wanted.audiences)),
            models=tuple(sorted(set(wanted.models))),
            authority=str(Path(wanted.authority).absolute()) if wanted.authority else None,
        )
        _check(issuer)
        keys = asyncio.run(self._fetched(issuer))
        self._keys.admit_issuer(issuer, keys)
        return issuer, keys

    def known(self) -> Mapping[str, SigningKeys]:
        """Return the keys that were fetched last, by the name of the issuer; none if a file is damaged."""
        with contextlib.suppress(ControlError):
            return self._keys.signing_keys()
        return {}

    async def refresh(self) -> None:
        """Fetch the keys of all issuers again. One that does not answer keeps its last keys. Raises ControlError."""
        issuers = self._keys.issuers()
        if not issuers:
            return
        before = self._keys.signing_keys()
        found = await asyncio.gather(*(self._refreshed(each, before.get(each.name)) for each in issuers))
        known = {issuer.name: keys for issuer, keys in zip(issuers, found, strict=True) if keys}
        await asyncio.to_thread(self._keys.keep_signing_keys, known)

    async def _refreshed(self, issuer: Issuer, before: SigningKeys | None) -> SigningKeys | None:
        try:
            keys = await self._fetched(issuer)
        except SourceError as error:
            says = visible(error.message)  # it may contain text of the issuer
            if before is None:
                logger.error("no token of %s gets in: its keys cannot be fetched: %s", issuer.name, says)
            elif before.failing_since is None:
                logger.warning("the keys of %s cannot be fetched, so the last ones stay: %s", issuer.name, says)
            return _failing(before, says)
        except Exception as error:  # the keys of other issuers are fetched nevertheless
            if before is None or before.error != repr(error):
                logger.exception("the keys of %s cannot be fetched, because of a bug", issuer.name)
            return _failing(before, repr(error))
        if before and before.failing_since is not None:
            logger.info("the keys of %s were fetched again", issuer.name)
        return keys

    async def _fetched(self, issuer: Issuer) -> SigningKeys:
        jwks = await fetched_keys(issuer.url, authority=issuer.authority, environ=self._environ)
        return SigningKeys(url=issuer.url, jwks=jwks, fetched_at=time.time())


def _failing(before: SigningKeys | None, why: str) -> SigningKeys | None:
    """Return the last keys of an issuer whose keys cannot be fetched."""
    return before and replace(before, failing_since=before.failing_since or time.time(), error=why)


def host_of(url: str) -> str:
    """Return the host of an issuer's URL. Raises ControlError and SourceError for one that cannot be used."""
    hint = "write it as `iss` in its tokens: https://login.example.org"
    try:
        found = parsed(url)
    except UrlError as error:
        raise ControlError(f"this is not the URL of an issuer: {error.says}", hint=hint) from error
    if found.has_credentials or found.query or found.fragment:
        raise ControlError("the URL of an issuer has no credentials, no query and no fragment", hint=hint)
    refuse_plain_http(url)
    return found.host.lower()


def _check(issuer: Issuer) -> None:
    if not NAME.fullmatch(issuer.name):
        raise ControlError(
            f"{issuer.name!r} cannot be the name of an issuer",
            hint="name it with --as: up to 63 lower-case letters, digits, dots and dashes, such as corp",
        )
    for text in (issuer.url, *issuer.audiences):
        if not text.isascii() or not text.isprintable() or not 0 < len(text) <= _TEXT_MAX:
            raise ControlError(
                f"{text!r} cannot be in a token's `iss` or `aud`", hint=f"use up to {_TEXT_MAX} characters of ASCII"
            )
    for claim in (issuer.owner_claim, issuer.models_claim):
        if not _CLAIM.fullmatch(claim):
            raise ControlError(f"{claim!r} cannot be the name of a claim", hint="write it as in the token: email")
    for glob in issuer.models:
        if not re.fullmatch(GLOB, glob):
            raise ControlError(f"{glob!r} is not a name of models", hint="write a name or a glob: --models 'chat*'")
    requests = issuer.requests_per_minute
    if requests is not None and not 0 < requests <= REQUESTS_MAX:
        raise ControlError(
            f"{requests} requests in a minute cannot be counted", hint=f"use 1 to {REQUESTS_MAX}, or no limit"
        )
