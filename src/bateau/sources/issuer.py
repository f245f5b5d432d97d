"""Fetch the document and the public keys of an OIDC issuer.

Called by sources.provider and wiring.issuers. Source: OpenID Connect Discovery 1.0, sections 3 and 4.

Invariant: a document of another issuer is not believed, and no plain HTTP of another machine. Held by
tests/sources/test_issuer.py.
"""

import asyncio
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from bateau.domain.errors import SourceError, SourceUnreachable
from bateau.kit.json_value import Json, JsonObject, object_at, text_at
from bateau.kit.jwks import public_keys
from bateau.kit.url import UrlError, parsed
from bateau.sources.http import refuse_plain_http, status_error
from bateau.sources.page import page
from bateau.sources.session import Session
from bateau.sources.settings import Settings

_DISCOVERY: Final = "/.well-known/openid-configuration"
_BYTES_MAX: Final = 1 << 20
_PATIENCE_S: Final = 10.0


async def fetched_keys(url: str, *, authority: str | None, environ: Mapping[str, str]) -> str:
    """Return the keys of the issuer at `url` that may verify tokens, as a JSON Web Key Set. Raises SourceError.

    `authority` is the path of a file with the certificates that its server is trusted by, None: those of the platform.
    """
    settings = Settings(base=Path.cwd(), environ=environ)
    try:
        async with asyncio.timeout(_PATIENCE_S), Session(settings, trusted=trusted_by(authority)) as http:
            return await published_keys(http, await document_of(http, url), url)
    except TimeoutError as error:
        raise SourceUnreachable(f"{url} did not answer within {_PATIENCE_S:g} s") from error


async def document_of(http: Session, url: str) -> JsonObject:
    """Return the document that the issuer at `url` publishes about itself. Raises SourceError."""
    where = url.rstrip("/") + _DISCOVERY
    about = object_at(await _json(http, where))
    if (named := text_at(about, "issuer")) != url:
        raise SourceError(
            f"the document at {where} is of the issuer {named or '(none)'}, not of {url}",
            hint=f"tokens are compared by this text: use {named}" if named else "is this the URL of an OIDC issuer?",
        )
    return about


def endpoint_of(about: JsonObject, name: str, url: str) -> str:
    """Return a URL of the document of the issuer at `url`. Raises SourceError if there is none, or none for use."""
    at = text_at(about, name)
    try:
        parsed(at)
    except UrlError as error:
        says = f"a {name} that cannot be used: {error.says}" if at else f"no {name}"
        where = url.rstrip("/") + _DISCOVERY
        raise SourceError(f"the document at {where} has {says}", hint="is this the URL of an OIDC issuer?") from error
    refuse_plain_http(at)
    return at


async def published_keys(http: Session, about: JsonObject, url: str) -> str:
    """Return the keys that the document of an issuer names, as a JSON Web Key Set. Raises SourceError."""
    at = endpoint_of(about, "jwks_uri", url)
    found = public_keys(await _json(http, at))
    if found is None:
        raise SourceError(
            f"{at} has no key that can verify a token",
            hint="it needs a public key: RSA with 2048 bits or more, P-256, P-384, P-521 or Ed25519",
        )
    return found


async def _json(http: Session, url: str) -> Json:
    answer = await page(http, url, says=url, headers={"Accept": "application/json"}, bytes_max=_BYTES_MAX)
    if error := status_error(answer.status, says=url, headers=answer.headers):
        raise error
    return answer.json(says=url)


def trusted_by(authority: str | None) -> ssl.SSLContext | None:
    """Return the certificates of a file, None for those of the platform. Raises SourceError."""
    if authority is None:
        return None
    try:
        return ssl.create_default_context(cafile=authority)
    except OSError as error:  # ssl.SSLError is one
        raise SourceError(
            f"{authority} has no certificates to trust: {error.strerror or error}", hint="give a file in PEM"
        ) from error
