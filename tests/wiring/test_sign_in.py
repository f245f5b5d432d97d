"""People sign in by an issuer that answers as a test says: whose claims count, and which answers are refused."""

import base64
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import pytest_asyncio
from aiohttp import web

from bateau.domain.errors import BateauError, ControlError, SourceDenied, SourceError, SourceUnreachable
from bateau.wiring.sign_in import FAILED_S, FRESH_S, SignedIn
from bateau.wiring.this_process import SystemClock
from traffic.issuer import Key
from wiring.written_issuer import SECRET, Desk, WrittenIssuer, written_issuer

KEY, OTHER = Key("one"), Key("two")
ADA = {"groups": ["staff", "platform"], "email": "ada@example.org", "email_verified": True, "name": "Ada"}


class Clock(SystemClock):
    """The real clock, moved by a test."""

    def __init__(self) -> None:
        self.later_s = 0.0

    def monotonic(self) -> float:
        return super().monotonic() + self.later_s


@pytest_asyncio.fixture
async def issuer() -> AsyncIterator[WrittenIssuer]:
    async with written_issuer(KEY) as made:
        made.claims = dict(ADA)
        yield made


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def desk(tmp_path: Path, clock: Clock) -> Desk:
    return Desk(tmp_path, clock)


async def signed_in(desk: Desk, issuer: WrittenIssuer, iss: str | None = None, **more: Any) -> SignedIn:
    attempt = desk.attempt(issuer, **more)
    code, state = issuer.code(await desk.address(attempt, "a-state"))
    assert state == "a-state"
    return await desk.signed_in(attempt, code=code, iss=iss)


async def refused(desk: Desk, issuer: WrittenIssuer, says: str, iss: str | None = None, **more: Any) -> None:
    with pytest.raises(SourceDenied, match=says):
        await signed_in(desk, issuer, iss, **more)


async def test_a_person_gets_the_role_of_a_group(desk: Desk, issuer: WrittenIssuer) -> None:
    found = await signed_in(desk, issuer)
    assert (found.role, found.person.actor) == ("operate", "ada@example.org (corp)")
    assert found.person.author == "Ada <ada@example.org>"
    issuer.claims["groups"] = "staff"
    assert (await signed_in(desk, issuer)).role == "view"
    for groups in ([], ["other"], None, {"staff": True}, [["staff"]], 7):
        issuer.claims["groups"] = groups
        assert (await signed_in(desk, issuer)).role is None, groups
    pair = base64.b64encode(
        f"dashboard:{SECRET.replace(' ', '+').replace('/', '%2F').replace('+signs', '%2Bsigns')}".encode()
    )
    assert issuer.authorizations[0] == f"Basic {pair.decode()}"
    assert not {"client_secret", "client_id"} & issuer.forms[0].keys()


async def test_the_address_has_everything_that_binds_the_answer(desk: Desk, issuer: WrittenIssuer) -> None:
    attempt = desk.attempt(issuer, scopes=("groups", "email"))
    query = parse_qs(urlsplit(await desk.address(attempt, "s")).query)
    assert query["scope"] == ["openid profile email groups"]
    assert query["redirect_uri"] == [attempt.redirect_uri]
    assert query["nonce"] == [attempt.nonce]
    assert attempt.verifier not in str(query)
    issuer.about["authorization_endpoint"] = f"{issuer.url}/auth?tenant=a#x"
    other = await Desk(desk.folder).address(attempt, "s")
    assert other.startswith(f"{issuer.url}/auth?tenant=a&response_type=code")


async def test_a_client_sends_its_secret_as_the_issuer_wants(desk: Desk, issuer: WrittenIssuer) -> None:
    issuer.about["token_endpoint_auth_methods_supported"] = ["client_secret_post"]
    await signed_in(desk, issuer)
    assert (issuer.forms[-1]["client_secret"], issuer.authorizations[-1]) == (SECRET, None)
    await signed_in(Desk(desk.folder), issuer, secret_file=None)
    assert issuer.forms[-1]["client_id"] == "dashboard"
    assert "client_secret" not in issuer.forms[-1]


async def test_a_token_that_was_not_made_for_this_sign_in_is_refused(desk: Desk, issuer: WrittenIssuer) -> None:
    now = int(time.time())
    for claims, says in (
        ({"aud": "other"}, "another aud"),
        ({"exp": now - 60}, "expired"),
        ({"nonce": "of another sign-in"}, "another nonce"),
        ({"iss": "https://other.example.org"}, "another iss"),
    ):
        issuer.claims = {**ADA, **claims}
        await refused(desk, issuer, says)
    issuer.claims = dict(ADA)
    for alg in ("none", "HS256"):
        issuer.alg = alg
        await refused(desk, issuer, "no valid signature")


async def test_a_code_works_once_and_in_its_sign_in_only(desk: Desk, issuer: WrittenIssuer) -> None:
    first, second = desk.attempt(issuer), desk.attempt(issuer)
    code, _ = issuer.code(await desk.address(first, "s"))
    with pytest.raises(SourceDenied, match="invalid_grant"):
        await desk.signed_in(second, code=code, iss=None)
    code, _ = issuer.code(await desk.address(first, "s"))
    await desk.signed_in(first, code=code, iss=None)
    with pytest.raises(SourceDenied, match="invalid_grant"):
        await desk.signed_in(first, code=code, iss=None)


async def test_userinfo_has_the_claims_that_the_token_has_not(desk: Desk, issuer: WrittenIssuer) -> None:
    issuer.claims, issuer.userinfo = {}, {**ADA, "sub": "4711"}
    found = await signed_in(desk, issuer)
    assert (found.role, found.person.name) == ("operate", "ada@example.org")
    assert issuer.authorizations[-1] == "Bearer an-access-token"
    issuer.about["userinfo_endpoint"] = None
    found = await signed_in(Desk(desk.folder), issuer)
    assert (found.role, found.person.name) == (None, "4711")


async def test_userinfo_of_another_subject_is_refused(desk: Desk, issuer: WrittenIssuer) -> None:
    issuer.claims = {}
    for subject in ("eve", None, 7):
        issuer.userinfo = {**ADA, "sub": subject}
        await refused(desk, issuer, "another person")


@pytest.mark.parametrize("checked", [False, None, "true", 1])
async def test_an_address_that_is_not_verified_counts_for_nothing(
    desk: Desk, issuer: WrittenIssuer, checked: object
) -> None:
    issuer.claims = {**ADA, "email_verified": checked}
    by_address: dict[str, Any] = {"roles_claim": "email", "roles": (("admin", "ada@example.org"),)}
    found = await signed_in(desk, issuer, **by_address)
    assert (found.role, found.person.name, found.person.email) == (None, "4711", None)
    issuer.claims = dict(ADA)
    assert (await signed_in(desk, issuer, **by_address)).role == "admin"


async def test_a_new_signing_key_works_at_once(desk: Desk, issuer: WrittenIssuer, clock: Clock) -> None:
    await signed_in(desk, issuer)
    issuer.key, issuer.published = OTHER, [KEY, OTHER]
    assert (await signed_in(desk, issuer)).role == "operate"
    issuer.key, issuer.published = KEY, [OTHER]
    clock.later_s += FRESH_S
    await refused(desk, issuer, "no key of the issuer")


async def test_documents_are_kept_for_a_while(desk: Desk, issuer: WrittenIssuer, clock: Clock) -> None:
    for _ in range(3):
        await desk.address(desk.attempt(issuer), "s")
    assert issuer.asked.count("/jwks") == 1
    clock.later_s += FRESH_S
    await desk.address(desk.attempt(issuer), "s")
    assert issuer.asked.count("/jwks") == 2
    await desk.address(desk.attempt(issuer, client_id="other"), "s")
    assert issuer.asked.count("/jwks") == 3


async def test_an_issuer_that_is_down_is_reported_and_not_asked_by_everybody(
    desk: Desk, issuer: WrittenIssuer, clock: Clock
) -> None:
    issuer.down = True
    for _ in range(3):
        with pytest.raises(SourceUnreachable, match="the server cannot answer now"):
            await desk.address(desk.attempt(issuer), "s")
    assert len(issuer.asked) == 1
    issuer.down = False
    clock.later_s += FAILED_S
    await desk.address(desk.attempt(issuer), "s")


async def test_an_answer_of_another_issuer_is_refused(desk: Desk, issuer: WrittenIssuer) -> None:
    """RFC 9207."""
    assert (await signed_in(desk, issuer, issuer.url)).role
    await refused(desk, issuer, "not one of", "https://other.example.org")
    assert len(issuer.forms) == 1, "the code was not sent"
    issuer.about["authorization_response_iss_parameter_supported"] = True
    await refused(Desk(desk.folder), issuer, "not one of")


async def test_an_issuer_without_s256_or_https_is_refused(desk: Desk, issuer: WrittenIssuer) -> None:
    for about, says in (
        ({"code_challenge_methods_supported": ["plain"]}, "PKCE"),
        ({"token_endpoint_auth_methods_supported": ["private_key_jwt"]}, "no way that Bateau knows"),
        ({"authorization_endpoint": "http://login.example.org/auth"}, "plain http"),
        ({"authorization_endpoint": "javascript:alert(1)"}, "cannot be used"),
        ({"token_endpoint": "http://login.example.org/token"}, "plain http"),
        ({"userinfo_endpoint": "http://login.example.org/me"}, "plain http"),
        ({"token_endpoint": None}, "no token_endpoint"),
        ({"issuer": "https://other.example.org"}, "is of the issuer"),
    ):
        issuer.about = about
        with pytest.raises(SourceError, match=says):
            await Desk(desk.folder).address(desk.attempt(issuer), "s")


async def test_answers_of_the_token_endpoint_that_are_none(desk: Desk, issuer: WrittenIssuer) -> None:
    answers: tuple[tuple[tuple[int, dict[str, str]], str], ...] = (
        ((400, {"error": "invalid_client"}), "does not accept the client dashboard or its secret"),
        ((400, {"error": "<script>"}), r"\(HTTP 400\)"),
        ((200, {"access_token": "a"}), "without an ID token"),
        ((503, {}), "cannot answer now"),
        ((401, {}), r"\(HTTP 401\)"),
    )
    for refusal, says in answers:
        issuer.refusal = refusal
        with pytest.raises(SourceError, match=says):
            await signed_in(desk, issuer)


async def test_a_redirect_of_the_token_endpoint_is_not_followed(desk: Desk, issuer: WrittenIssuer) -> None:
    issuer.refusal = web.Response(status=307, headers={"location": f"{issuer.url}/elsewhere"})
    await refused(desk, issuer, r"\(HTTP 307\)")
    assert "/elsewhere" not in issuer.asked


async def test_a_message_has_no_secret(desk: Desk, issuer: WrittenIssuer) -> None:
    issuer.refusal = 400, {"error": "invalid_grant", "error_description": f"{SECRET} code-0 an-access-token"}
    attempt = desk.attempt(issuer)
    code, _ = issuer.code(await desk.address(attempt, "s"))
    with pytest.raises(BateauError) as raised:
        await desk.signed_in(attempt, code=code, iss=None)
    text = f"{raised.value.message} {raised.value.hint} {attempt!r}"
    assert not any(each in text for each in (SECRET, code, "an-access-token", attempt.nonce, attempt.verifier))


async def test_a_secret_that_cannot_be_read_is_an_error(desk: Desk, issuer: WrittenIssuer) -> None:
    attempt = desk.attempt(issuer)
    code, _ = issuer.code(await desk.address(attempt, "s"))
    for content in ("", "a\nb", "é", "x" * 5000, None):
        path = desk.folder / "secret"
        path.unlink() if content is None else path.write_text(content)
        with pytest.raises(ControlError, match="secret"):
            await desk.signed_in(attempt, code=code, iss=None)
    assert issuer.forms == []
