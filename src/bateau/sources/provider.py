"""Ask an OIDC issuer about a person who signs in: its endpoints, the tokens for a code, and the claims of a person.

Called by wiring.sign_in and wiring.sign_in_issuers.
Sources: OpenID Connect Core 1.0, sections 3.1.3 and 5.3; RFC 6749, sections 2.3.1 and 4.1.3; RFC 7636; RFC 9207.

Invariant: a code and a secret are sent to the token endpoint only; a redirect from there is not followed. Held by
tests/wiring/test_sign_in.py::test_a_redirect_of_the_token_endpoint_is_not_followed.
Invariant: no message contains a code, a secret or a token, nor text of the issuer but the name of an error. Held by
tests/wiring/test_sign_in.py::test_a_message_has_no_secret.
"""

import asyncio
import re
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import quote_plus, urlencode

from bateau.domain.errors import SourceDenied, SourceError, SourceUnreachable
from bateau.domain.sign_in import SignInIssuer
from bateau.kit.json_value import JsonObject, is_object, object_at, text_at, texts_at
from bateau.sources.http import basic_authorization, status_error
from bateau.sources.issuer import document_of, endpoint_of, published_keys, trusted_by
from bateau.sources.page import page, written
from bateau.sources.session import Session
from bateau.sources.settings import Settings

# The gateway waits ten seconds for a page.
PATIENCE_S: Final = 8.0
_BYTES_MAX: Final = 1 << 18
_BASIC: Final = "client_secret_basic"
_POST: Final = "client_secret_post"
_OK: Final = 200
_ERROR: Final = re.compile(r"[a-z_]{1,60}")
_CLIENT_ERRORS: Final = ("invalid_client", "unauthorized_client")


@dataclass(frozen=True, slots=True, kw_only=True)
class Provider:
    """What an issuer has published. `jwks` is a JSON Web Key Set.

    With `in_body`, a client sends its secret in the body of a form. An issuer that `names_itself` is in `iss` of each
    answer to an authorization request.
    """

    authorization_endpoint: str
    token_endpoint: str
    userinfo_endpoint: str | None
    jwks: str
    in_body: bool
    names_itself: bool


@dataclass(frozen=True, slots=True)
class Tokens:
    """The tokens for a code."""

    id_token: str = field(repr=False)
    access_token: str = field(repr=False)


async def fetched_provider(issuer: SignInIssuer, environ: Mapping[str, str]) -> Provider:
    """Return what an issuer publishes. Raises SourceError."""
    url = issuer.url
    async with _session(issuer, environ) as http:
        about = await document_of(http, url)
        methods = texts_at(about, "token_endpoint_auth_methods_supported") or [_BASIC]
        if issuer.secret_file and not {_BASIC, _POST} & {*methods}:
            raise SourceError(f"{url} takes the secret of a client in no way that Bateau knows: {', '.join(methods)}")
        challenges = texts_at(about, "code_challenge_methods_supported")
        if challenges and "S256" not in challenges:
            raise SourceError(f"{url} does not support PKCE with S256, so people cannot sign in by it")
        return Provider(
            authorization_endpoint=endpoint_of(about, "authorization_endpoint", url),
            token_endpoint=endpoint_of(about, "token_endpoint", url),
            userinfo_endpoint=endpoint_of(about, "userinfo_endpoint", url) if "userinfo_endpoint" in about else None,
            jwks=await published_keys(http, about, url),
            in_body=_BASIC not in methods,
            names_itself=about.get("authorization_response_iss_parameter_supported") is True,
        )


async def tokens_for(
    code: str,
    issuer: SignInIssuer,
    provider: Provider,
    *,
    verifier: str,
    redirect_uri: str,
    secret: str | None,
    environ: Mapping[str, str],
) -> Tokens:
    """Exchange a code for tokens. Raises SourceError."""
    form = {"grant_type": "authorization_code", "code": code, "redirect_uri": redirect_uri, "code_verifier": verifier}
    headers = {"Accept": "application/json", "Content-Type": "application/x-www-form-urlencoded"}
    if secret is None or provider.in_body:
        form |= {"client_id": issuer.client_id, **({} if secret is None else {"client_secret": secret})}
    else:
        headers["Authorization"] = basic_authorization(quote_plus(issuer.client_id), quote_plus(secret))
    url = provider.token_endpoint
    async with _session(issuer, environ) as http:
        answer = await written(http, "POST", url, says=url, headers=headers, data=urlencode(form).encode())
    unreachable = status_error(answer.status, says=url)
    if isinstance(unreachable, SourceUnreachable):
        raise unreachable
    try:
        tree = object_at(answer.json(says=url))
    except SourceError:
        tree = JsonObject()
    if answer.status != _OK:
        raise _refused(text_at(tree, "error"), issuer, answer.status)
    found = Tokens(id_token=text_at(tree, "id_token"), access_token=text_at(tree, "access_token"))
    if not found.id_token:
        raise SourceError(f"{url} has answered without an ID token", hint="is this client one for OpenID Connect?")
    return found


async def userinfo_of(
    access_token: str, issuer: SignInIssuer, provider: Provider, environ: Mapping[str, str]
) -> JsonObject:
    """Return the claims at the userinfo endpoint; none if there is no such endpoint. Raises SourceError."""
    url = provider.userinfo_endpoint
    if url is None or not access_token:
        return {}
    headers = {"Accept": "application/json", "Authorization": f"Bearer {access_token}"}
    async with _session(issuer, environ) as http:
        answer = await page(http, url, says=url, headers=headers, bytes_max=_BYTES_MAX)
    if error := status_error(answer.status, says=url):
        raise error
    tree = answer.json(says=url)
    return tree if is_object(tree) else {}


@asynccontextmanager
async def in_time(issuer: SignInIssuer) -> AsyncGenerator[None]:
    """Bound the time in which an issuer is asked. Raises SourceUnreachable."""
    try:
        async with asyncio.timeout(PATIENCE_S):
            yield
    except TimeoutError as error:
        raise SourceUnreachable(f"{issuer.url} did not answer within {PATIENCE_S:g} s") from error


def _session(issuer: SignInIssuer, environ: Mapping[str, str]) -> Session:
    """Return a client of an issuer. Raises SourceError if its certificates cannot be read."""
    return Session(Settings(base=Path.cwd(), environ=environ), trusted=trusted_by(issuer.authority))


def _refused(error: str, issuer: SignInIssuer, status: int) -> SourceError:
    name = error if _ERROR.fullmatch(error) else f"HTTP {status}"
    if error in _CLIENT_ERRORS:
        return SourceDenied(
            f"{issuer.url} does not accept the client {issuer.client_id} or its secret ({name})",
            hint="an administrator of this instance compares both with those at the issuer",
        )
    return SourceDenied(f"{issuer.url} does not accept the code of this sign-in ({name})", hint="begin again")
