"""Let people sign in to the dashboard by an OIDC issuer: the authorization code flow with PKCE.

Called by ui.attempts, ui.dashboard and ui.sign_in.
Sources: OpenID Connect Core 1.0, sections 3.1 and 5.3.2; RFC 7636; RFC 9207; RFC 9700, sections 2.1 and 4.

Invariant: the claims of a person come from a verified ID token, and from the userinfo endpoint only for its subject.
Held by tests/wiring/test_sign_in.py::test_userinfo_of_another_subject_is_refused.
Invariant: an e-mail address that the issuer has not verified gives neither a role nor a name. Held by
tests/wiring/test_sign_in.py::test_an_address_that_is_not_verified_counts_for_nothing.
Invariant: keys that the issuer has begun to sign with are fetched at once. Held by
tests/wiring/test_sign_in.py::test_a_new_signing_key_works_at_once.
Refused: Authlib's client. It keeps state, nonce and verifier in a session of the browser before anybody has signed in,
and brings an HTTP client with other proxies and certificates than those of all other requests.
"""

import asyncio
import base64
import hashlib
import secrets
from collections import defaultdict
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlencode

from bateau.domain.errors import BateauError, ControlError, SourceDenied, SourceError, SourceUnreachable
from bateau.domain.sign_in import Person, Role, SignInIssuer
from bateau.kit.id_token import TokenError, verified
from bateau.kit.json_value import JsonObject, is_array, texts_at
from bateau.kit.visible import visible_line
from bateau.ports.clock import Clock
from bateau.sources.provider import Provider, fetched_provider, in_time, tokens_for, userinfo_of
from bateau.wiring.sign_in_issuers import SignInIssuers, secret_of

# What an issuer publishes is fetched again after this time, and an error is tried again after the other one.
FRESH_S: Final = 10.0
FAILED_S: Final = 2.0
_ASKING_MAX: Final = 20
_SCOPES: Final = ("openid", "profile", "email")
_EMAIL: Final = "email"
_VERIFIED: Final = "email_verified"
_NAME_MAX: Final = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """A sign-in that was begun. `nonce` and `verifier` bind the ID token and the code to it."""

    issuer: SignInIssuer
    redirect_uri: str
    nonce: str = field(default_factory=lambda: secrets.token_urlsafe(32), repr=False)
    verifier: str = field(default_factory=lambda: secrets.token_urlsafe(48), repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedIn:
    """A person, and the role that the `values` of a claim give, None if they give none."""

    person: Person
    role: Role | None
    values: Sequence[str]


@dataclass(slots=True)
class _Known:
    """What an issuer has published, or why that is not known, and when that was asked."""

    issuer: SignInIssuer | None = None
    provider: Provider | None = None
    error: BateauError | None = None
    asked_at: float = 0.0
    asking: asyncio.Lock = field(default_factory=asyncio.Lock)


class SignIn:
    """Signs people in to one instance."""

    def __init__(self, issuers: SignInIssuers, clock: Clock, environ: Mapping[str, str]) -> None:
        self._issuers = issuers
        self._clock = clock
        self._environ = environ
        self._known: defaultdict[str, _Known] = defaultdict(_Known)
        self._asking = 0

    def issuers(self) -> Sequence[SignInIssuer]:
        """Return the issuers, by name. Raises ControlError if their file is damaged."""
        return self._issuers.all()

    def admits(self, person: Person) -> bool:
        """Whether a session of a person continues: its issuer is there, and was not changed."""
        try:
            return person.issuer in self.issuers()
        except ControlError:
            return False

    async def address(self, attempt: Attempt, state: str) -> str:
        """Return the URL at which a person signs in at the issuer. Raises SourceError if the issuer is down."""
        async with in_time(attempt.issuer):
            provider = await self._provider(attempt.issuer, fresh_s=FRESH_S)
        challenge = base64.urlsafe_b64encode(hashlib.sha256(attempt.verifier.encode()).digest()).rstrip(b"=").decode()
        query = {
            "response_type": "code",
            "client_id": attempt.issuer.client_id,
            "redirect_uri": attempt.redirect_uri,
            "scope": " ".join(dict.fromkeys((*_SCOPES, *attempt.issuer.scopes))),
            "state": state,
            "nonce": attempt.nonce,
            "code_challenge": challenge,
            "code_challenge_method": "S256",
        }
        base = provider.authorization_endpoint.partition("#")[0]
        return f"{base}{'&' if '?' in base else '?'}{urlencode(query)}"

    async def signed_in(self, attempt: Attempt, *, code: str, iss: str | None) -> SignedIn:
        """Return the person who has signed in at the issuer. `iss` is that of the answer, None without one.

        Raises SourceError and ControlError.
        """
        issuer = attempt.issuer
        async with in_time(issuer), self._bounded():
            provider = await self._provider(issuer, fresh_s=FRESH_S)
            if iss != issuer.url and (iss is not None or provider.names_itself):
                raise SourceDenied(f"the answer is not one of {issuer.url}", hint="begin again")
            tokens = await tokens_for(
                code,
                issuer,
                provider,
                verifier=attempt.verifier,
                redirect_uri=attempt.redirect_uri,
                secret=await asyncio.to_thread(secret_of, issuer),
                environ=self._environ,
            )
            claims = await self._claims(attempt, tokens.id_token, provider)
            more = JsonObject()
            if not {issuer.roles_claim, issuer.name_claim} <= claims.keys():
                more = await userinfo_of(tokens.access_token, issuer, provider, self._environ)
                if more and more.get("sub") != claims["sub"]:
                    raise SourceDenied(f"{issuer.url} has answered about another person than the one who signed in")
        return _signed_in(issuer, (claims, more))

    async def _claims(self, attempt: Attempt, token: str, provider: Provider) -> JsonObject:
        """Return the claims of an ID token. Raises SourceError."""
        try:
            try:
                return self._verified(attempt, token, provider)
            except TokenError as error:
                if not error.is_unknown_key:
                    raise
                return self._verified(attempt, token, await self._provider(attempt.issuer, fresh_s=0.0))
        except TokenError as error:
            raise SourceDenied(f"{error.says}, so it was refused", hint="begin again") from error

    def _verified(self, attempt: Attempt, token: str, provider: Provider) -> JsonObject:
        return verified(
            token,
            provider.jwks,
            issuer=attempt.issuer.url,
            client_id=attempt.issuer.client_id,
            nonce=attempt.nonce,
            now=self._clock.wall(),
        )

    async def _provider(self, issuer: SignInIssuer, *, fresh_s: float) -> Provider:
        """Return what an issuer publishes, at most so old. Raises SourceError."""
        known = self._known[issuer.name]
        async with known.asking:  # whoever waits here takes the answer that another one has waited for
            age = self._clock.monotonic() - known.asked_at
            if known.issuer == issuer:
                if known.provider and age < fresh_s:
                    return known.provider
                if known.error and age < FAILED_S:
                    raise known.error
            known.issuer, known.provider, known.error = issuer, None, None
            try:
                known.provider = await fetched_provider(issuer, self._environ)
            except SourceError as error:
                known.error = error
                raise
            finally:
                known.asked_at = self._clock.monotonic()
            return known.provider

    @asynccontextmanager
    async def _bounded(self) -> AsyncGenerator[None]:
        """Bound how many people an issuer is asked about at once: anybody can begin to sign in."""
        if self._asking >= _ASKING_MAX:
            raise SourceUnreachable("too many people sign in at this moment", hint="try again shortly")
        self._asking += 1
        try:
            yield
        finally:
            self._asking -= 1


def _signed_in(issuer: SignInIssuer, sources: Sequence[JsonObject]) -> SignedIn:
    """Return a person by claims: those of the ID token, and then those of the userinfo endpoint."""
    subject = visible_line(str(sources[0]["sub"]))
    name = next(iter(_values(issuer.name_claim, sources)), "") or subject
    values = _values(issuer.roles_claim, sources)
    person = Person(
        issuer=issuer,
        subject=subject,
        name=visible_line(name)[:_NAME_MAX],
        full_name=visible_line(next(iter(_values("name", sources)), "") or name)[:_NAME_MAX],
        email=next(iter(_values(_EMAIL, sources)), None),
    )
    return SignedIn(person=person, role=issuer.role_of(values), values=values)


def _values(claim: str, sources: Sequence[JsonObject]) -> list[str]:
    """Return the texts of a claim, which is one text or a list. An address that is not verified has none."""
    source = next((each for each in sources if claim in each), None)
    if source is None or (claim == _EMAIL and source.get(_VERIFIED) is not True):
        return []
    value = source[claim]
    return [value] if isinstance(value, str) else texts_at(value) if is_array(value) else []
