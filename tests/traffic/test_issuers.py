"""Tokens of a real OIDC issuer at the real Envoy: who gets in, as whom, with which models."""

import asyncio
import base64
import json
import os
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
import pytest_asyncio

from bateau.domain.errors import ControlError
from bateau.domain.issuer import Issuer, SigningKeys
from bateau.domain.workload import KeyLimits, Limits
from bateau.kit.jwks import public_keys
from bateau.store.ledger import Ledger
from bateau.traffic.envoy.key_filters import CLAIMED_MODELS, OF_TOKENS, TOKEN_CHAIN
from bateau.traffic.envoy.no_filter import NO_FILTER
from bateau.wiring.issuers import Issuers
from traffic.gateway import Answer, Gateway, eventually, model
from traffic.issuer import AUDIENCE, Key, RealIssuer, base64url
from traffic.test_keys import bearer, becomes, create
from traffic.upstream import Upstream

pytestmark = pytest.mark.asyncio(loop_scope="module")

# A key that no issuer publishes, with the id of one that does.
STRANGER = Key("one")
NOW = time.time


@pytest.fixture(scope="module")
def issuer() -> Iterator[RealIssuer]:
    made = RealIssuer()
    made.start()
    yield made
    made.stop()


@pytest_asyncio.fixture(loop_scope="module")
async def closed(gateway: Gateway, first: Upstream) -> Gateway:
    """The gateway with two models, and without a key or an issuer of an earlier test."""
    await gateway.publish(model("chat", first.endpoint()), model("embed", first.endpoint()))
    for name in gateway.keys.load().by_name:
        gateway.keys.revoke(name)
    for each in gateway.keys.issuers():
        gateway.keys.dismiss_issuer(each.name)
    return gateway


@pytest_asyncio.fixture(loop_scope="module")
async def admitted(closed: Gateway, issuer: RealIssuer) -> AsyncIterator[Gateway]:
    """The gateway, which accepts tokens of the issuer, and an API key."""
    await add(closed, issuer)
    secret = create(closed)
    await becomes(closed, 200, bearer(secret))
    yield closed


async def add(gateway: Gateway, issuer: RealIssuer, **more: Any) -> None:
    """Add an issuer as the command does, and wait until the gateway knows it."""
    wanted = replace(Issuer(name="corp", url=issuer.url, audiences=(AUDIENCE,), created_at=1.0), **more)
    await asyncio.to_thread(Issuers(gateway.keys, os.environ).add, wanted)
    unnamed = issuer.key.token(issuer.claims(aud=wanted.audiences[0], bateau_models="-"))
    await becomes(gateway, 403, bearer(unnamed))


async def status(gateway: Gateway, token: str, name: str = "chat") -> int:
    return (await gateway.chat(name, headers=bearer(token))).status


async def test_a_token_gets_in_as_its_subject_with_its_models(
    admitted: Gateway, issuer: RealIssuer, first: Upstream
) -> None:
    token = issuer.token("ada")
    for headers in (bearer(token), {"authorization": f"bearer   {token}"}, {"x-api-key": token}):
        assert (await admitted.chat(headers=headers)).status == 200, headers
    # Neither the token nor what it says reaches a replica, but the name of the caller.
    found = {name.lower(): value for name, value in first.seen[-1].headers.items()}
    assert token not in str(found)
    assert {name: value for name, value in found.items() if name.startswith("x-bateau-")} == {
        "x-bateau-key": "jwt:corp:ada"
    }
    answer = await admitted.chat("embed", headers=bearer(token))
    assert (answer.status, answer.error["code"]) == (403, "model_not_allowed")
    assert answer.error["message"] == "The token of 'jwt:corp:ada' does not allow this model."
    assert (await admitted.ask("GET", "/v1/models", headers=bearer(token))).status == 200
    assert await status(admitted, issuer.token("words"), "embed") == 200

    async def written() -> bool:
        rows = [used for used in Ledger(admitted.base).read(since=0, until=1e12) if used.key == "jwt:corp:ada"]
        owned = [(used.status, used.model) for used in rows if used.owner == "ada@example.org"]
        return (200, "chat") in owned and (403, "embed") in owned

    await eventually(written)


WRONG: dict[str, tuple[Callable[[RealIssuer], str], str]] = {
    "expired": (lambda i: i.key.token(i.claims(exp=int(NOW()) - 11)), "expired_token"),
    "without an end": (lambda i: i.key.token(i.claims(exp=None)), "invalid_token"),
    "not yet valid": (lambda i: i.key.token(i.claims(nbf=int(NOW()) + 60)), "invalid_token"),
    "for another audience": (lambda i: i.key.token(i.claims(aud="other")), "wrong_audience"),
    "for no audience": (lambda i: i.key.token(i.claims(aud=None)), "wrong_audience"),
    "of another issuer": (lambda i: i.key.token(i.claims(iss=f"{i.url}/")), "unknown_issuer"),
    "of no issuer": (lambda i: i.key.token(i.claims(iss=None)), "unknown_issuer"),
    "signed by a stranger": (lambda i: STRANGER.token(i.claims()), "invalid_token"),
    "with an unknown key": (lambda i: STRANGER.token(i.claims(), kid="two"), "invalid_token"),
    "not signed": (lambda i: i.key.token(i.claims(), alg="none"), "invalid_token"),
    "signed with the public key": (lambda i: i.key.token(i.claims(), alg="HS256"), "invalid_token"),
    "without its signature": (lambda i: i.token().rpartition(".")[0] + ".", "invalid_token"),
    "with changed claims": (lambda i: tampered(i.token(), bateau_models="*"), "invalid_token"),
    "without a subject": (lambda i: i.key.token(i.claims(sub=None)), "invalid_token"),
    "with an empty subject": (lambda i: i.key.token(i.claims(sub="")), "invalid_token"),
    "with a long subject": (lambda i: i.key.token(i.claims(sub="a" * 256)), "invalid_token"),
    "no token": (lambda _: "a.b.c", "invalid_token"),
    "encrypted": (lambda _: "a.b.c.d.e", "invalid_token"),
}


def tampered(token: str, **more: Any) -> str:
    header, claims, signature = token.split(".")
    changed = {**json.loads(_bytes(claims)), **more}
    return f"{header}.{base64url(json.dumps(changed).encode())}.{signature}"


def _bytes(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


@pytest.mark.parametrize("wrong", WRONG)
async def test_a_wrong_token_gets_nobody_in(admitted: Gateway, issuer: RealIssuer, first: Upstream, wrong: str) -> None:
    made, code = WRONG[wrong]
    token, seen = made(issuer), len(first.seen)
    answer = await admitted.chat(headers=bearer(token))
    assert (answer.status, answer.error["code"]) == (401, code)
    assert answer.headers["www-authenticate"] == "Bearer"
    assert token.encode() not in answer.body
    answer = await admitted.ask("POST", "/v1/messages", json={"model": "chat"}, headers={"x-api-key": token})
    assert (answer.status, answer.tree["error"]["type"]) == (401, "authentication_error")
    assert (await admitted.ask("GET", "/v1/models", headers=bearer(token))).status == 401
    assert len(first.seen) == seen


async def test_refused_tokens_are_in_the_ledger_without_a_key(admitted: Gateway, issuer: RealIssuer) -> None:
    await asyncio.sleep(0.2)  # requests before these are not among them
    ledger, began = Ledger(admitted.base), NOW()
    tokens = [WRONG[wrong][0](issuer) for wrong in ("expired", "without a subject", "for another audience")]
    for token in tokens:
        assert await status(admitted, token) == 401

    async def written() -> bool:
        rows = [used for used in ledger.read(since=began - 0.1, until=1e12) if used.status == 401]
        return [(used.key, used.path) for used in rows] == [(None, "/v1/chat/completions")] * 3

    await eventually(written)
    assert not [token for token in tokens if token in ledger.path.read_text()]


async def test_a_token_is_valid_for_a_few_seconds_of_another_clock(admitted: Gateway, issuer: RealIssuer) -> None:
    claims = issuer.claims(bateau_models="chat")
    assert await status(admitted, issuer.key.token({**claims, "exp": int(NOW()) - 4})) == 200


async def test_a_token_that_was_verified_before_ends_at_its_time(admitted: Gateway, issuer: RealIssuer) -> None:
    token = issuer.key.token(issuer.claims(bateau_models="chat", exp=int(NOW()) - 7))
    assert [await status(admitted, token) for _ in range(8)] == [200] * 8

    async def refused() -> Answer | None:
        answer = await admitted.chat(headers=bearer(token))
        return answer if answer.status != 200 else None

    answer = await eventually(refused, within_s=5.0)
    assert (answer.status, answer.error["code"]) == (401, "expired_token")


@pytest.mark.parametrize(
    ("claim", "allowed"),
    [
        (["cha*"], {"chat"}),
        (["chat", "embed"], {"chat", "embed"}),
        ("embed chat", {"chat", "embed"}),
        ("*", {"chat", "embed"}),
        (["?hat", "embe"], {"chat"}),
        ("*b*d em*x", {"embed"}),
        ([], set[str]()),
        ("", set[str]()),
        (["CHAT", ".*", "c.at", "hat", "cha", "chat embed"], set[str]()),
        (["chat|embed", 7, None, {"a": "chat"}, ["chat"]], set[str]()),
        ({"chat": "chat"}, set[str]()),
        (True, set[str]()),
        (None, {"embed"}),
    ],
)
async def test_models_are_those_of_the_claim(
    closed: Gateway, issuer: RealIssuer, claim: Any, allowed: set[str]
) -> None:
    """Without the claim they are those of the issuer; a claim of another type gives none."""
    await add(closed, issuer, models=("embed",))
    token = issuer.key.token(issuer.claims(bateau_models=claim))
    for name in ("chat", "embed"):
        assert await status(closed, token, name) == (200 if name in allowed else 403), name
    # A request that names no model is told so.
    assert (await closed.ask("POST", "/v1/chat/completions", json={}, headers=bearer(token))).status == 400


async def test_without_the_claim_there_are_no_models(admitted: Gateway, issuer: RealIssuer) -> None:
    assert await status(admitted, issuer.token("bare")) == 403


@pytest.mark.parametrize(
    ("subject", "name"),
    [
        ("auth0|5f7c", "auth0|5f7c"),
        ("two words", "two%20words"),
        ("line\r\nx-bateau-key: root", "line%0D%0Ax-bateau-key:%20root"),
        ("a%20b", "a%2520b"),
        ("é\u202e", "%C3%A9%E2%80%AE"),
        ("b" * 255, "b" * 255),
    ],
)
async def test_a_subject_has_one_printable_name(
    admitted: Gateway, issuer: RealIssuer, first: Upstream, subject: str, name: str
) -> None:
    token = issuer.key.token(issuer.claims(sub=subject, email=f"{subject}\n", bateau_models="*"))
    assert await status(admitted, token) == 200
    assert first.seen[-1].headers["x-bateau-key"] == f"jwt:corp:{name}"


@pytest.mark.parametrize(
    "forged",
    [
        {"x-bateau-key": "jwt:corp:root", "x-bateau-models": "*", "x-bateau-owner": "root"},
        {"x-bateau-key": "-"},
        {"X-Bateau-Key": "ci", "X-Bateau-Models": "*"},
        {"authorization": "Bearer jwt", "x-bateau-models": "*"},
        {"x-api-key": "jwt"},
    ],
)
async def test_forged_headers_give_no_right(
    admitted: Gateway, issuer: RealIssuer, first: Upstream, forged: dict[str, str]
) -> None:
    seen = len(first.seen)
    assert (await admitted.chat(headers=forged)).status == 401
    token = issuer.key.token(issuer.claims(bateau_models="embed"))
    with_token = {**forged, **bearer(token), "x-bateau-model": "embed"}
    assert (await admitted.chat(headers=with_token)).status in {401, 403}
    assert len(first.seen) == seen
    if "x-api-key" not in forged:
        assert (await admitted.chat("embed", headers=with_token)).status == 200
        assert first.seen[-1].headers["x-bateau-key"] == "jwt:corp:ada"
        assert "x-bateau-models" not in first.seen[-1].headers


async def test_a_key_beside_a_token_does_not_mix_with_it(
    admitted: Gateway, issuer: RealIssuer, first: Upstream
) -> None:
    """What is in `Authorization` counts, with its models and its name; the other header is ignored."""
    secret = create(admitted, "all")
    await becomes(admitted, 200, bearer(secret))
    token, wrong = issuer.key.token(issuer.claims(bateau_models="embed")), STRANGER.token(issuer.claims())
    for headers in ({**bearer(token), "x-api-key": other} for other in (secret, wrong, "dummy")):
        assert (await admitted.chat(headers=headers)).status == 403
        assert (await admitted.chat("embed", headers=headers)).status == 200
        assert first.seen[-1].headers["x-bateau-key"] == "jwt:corp:ada"
    for headers in ({**bearer(secret), "x-api-key": other} for other in (token, wrong)):
        assert (await admitted.chat(headers=headers)).status == 200
        assert first.seen[-1].headers["x-bateau-key"] == "all"
    for headers in ({**bearer(wrong), "x-api-key": token}, {**bearer(wrong), "x-api-key": secret}):
        assert (await admitted.chat("embed", headers=headers)).status == 401
    basic = {"authorization": "Basic eDp5", "x-api-key": token}
    assert (await admitted.chat("embed", headers=basic)).status == 200


async def test_each_issuer_has_its_own_rules(closed: Gateway, issuer: RealIssuer) -> None:
    """Neither its keys, nor its audiences, nor its claims count for the tokens of another."""
    await add(closed, issuer, models=("embed",))
    key, url = Key("one"), "https://other.example.org"
    other = Issuer(name="other", url=url, audiences=("others",), created_at=1.0, models_claim="roles", models=("chat",))
    jwks = public_keys({"keys": [dict(key.public)]}) or ""
    closed.keys.admit_issuer(other, SigningKeys(url=url, jwks=jwks, fetched_at=1.0))
    of_other = issuer.claims(iss=url, aud="others")
    await becomes(closed, 200, bearer(key.token(of_other)))
    assert await status(closed, key.token(of_other), "embed") == 403
    assert await status(closed, key.token({**of_other, "bateau_models": "embed"}), "embed") == 403
    assert await status(closed, key.token({**of_other, "roles": ["embed"]}), "embed") == 200
    assert await status(closed, issuer.key.token(issuer.claims()), "embed") == 200
    assert await status(closed, issuer.key.token(issuer.claims()), "chat") == 403
    for wrong in (
        key.token(issuer.claims()),
        issuer.key.token(of_other),
        key.token({**of_other, "aud": AUDIENCE}),
        issuer.key.token(issuer.claims(aud="others")),
    ):
        assert await status(closed, wrong) == 401
    past = int(NOW()) - 60
    for token, code in (
        (issuer.key.token(issuer.claims(exp=past)), "expired_token"),
        (key.token({**of_other, "exp": past}), "expired_token"),
        (key.token({**of_other, "aud": "x"}), "wrong_audience"),
        (issuer.key.token(issuer.claims(aud="x")), "wrong_audience"),
        (key.token({**of_other, "iss": "https://third.example.org"}), "unknown_issuer"),
    ):
        assert (await closed.chat(headers=bearer(token))).error["code"] == code


async def test_a_key_that_the_issuer_has_begun_to_use_works_after_a_refresh(closed: Gateway) -> None:
    real, new = RealIssuer(), Key("two")
    old = real.key
    real.start()
    try:
        await add(closed, real, models=("chat",))
        real.stop()
        real.key = new
        real.start(old)
        fresh = real.token("bare")
        assert await status(closed, fresh) == 401
        issuers = Issuers(closed.keys, os.environ)
        await issuers.refresh()
        await becomes(closed, 200, bearer(fresh))
        assert await status(closed, old.token(real.claims())) == 200
        # A key that the issuer has withdrawn is accepted no more.
        real.stop()
        real.start()
        await issuers.refresh()
        await becomes(closed, 401, bearer(old.token(real.claims())))
        assert await status(closed, fresh) == 200
    finally:
        real.stop()


async def test_an_issuer_that_does_not_answer_keeps_its_last_keys(closed: Gateway) -> None:
    real = RealIssuer()
    real.start()
    issuers = Issuers(closed.keys, os.environ)
    try:
        await add(closed, real, models=("chat",))
        real.stop()
        for _ in range(2):
            await issuers.refresh()
        token = real.key.token(real.claims())
        assert await status(closed, token) == 200
        known = closed.keys.signing_keys()["corp"]
        assert known.failing_since is not None
        assert known.fetched_at < known.failing_since < NOW()
        assert real.url in known.error
        closed.keys.publish(open_to_all=False)  # as the next control plane does
        create(closed, "later")
        await asyncio.sleep(0.3)
        assert await status(closed, token) == 200
        real.start()
        await issuers.refresh()
        assert closed.keys.signing_keys()["corp"].failing_since is None
    finally:
        real.stop()


async def test_a_refresh_that_failed_halfway_is_repeated(admitted: Gateway, issuer: RealIssuer) -> None:
    before = admitted.keys.signing_keys()["corp"]
    new = Key("new")
    fresh = replace(before, jwks=public_keys({"keys": [dict(new.public)]}) or "")
    in_the_way = admitted.keys.directory / "bateau.tokens.partial"
    in_the_way.mkdir()  # as a full disk would
    with pytest.raises(ControlError, match="cannot write to"):
        admitted.keys.keep_signing_keys({"corp": fresh})
    in_the_way.rmdir()
    admitted.keys.keep_signing_keys({"corp": fresh})
    await becomes(admitted, 200, bearer(new.token(issuer.claims(bateau_models="*"))))
    # What was fetched for an issuer that is gone, or from another URL, is not kept.
    admitted.keys.keep_signing_keys({"corp": replace(before, url="https://other.example.org"), "gone": before})
    assert admitted.keys.signing_keys() == {"corp": fresh}


async def test_a_removed_issuer_is_refused_within_a_second(admitted: Gateway, issuer: RealIssuer) -> None:
    token, secret = issuer.token("ada"), create(admitted, "stays")
    await becomes(admitted, 200, bearer(secret))
    assert await status(admitted, token) == 200
    admitted.keys.dismiss_issuer("corp")
    answer = await becomes(admitted, 401, bearer(token))
    assert answer.error["code"] in {"invalid_api_key", "missing_api_key"}  # its length says that it is no key
    assert await status(admitted, secret) == 200
    with pytest.raises(ControlError, match="there is no issuer corp"):
        admitted.keys.dismiss_issuer("corp")


async def test_no_change_lets_a_token_use_more_for_a_moment(closed: Gateway, issuer: RealIssuer) -> None:
    """Files are replaced one after another; the moments between refuse more, and never less."""
    token = issuer.key.token(issuer.claims(bateau_models="embed"))
    forged = {"x-bateau-key": "jwt:corp:ada", "x-bateau-models": "*"}
    secret = create(closed)
    await becomes(closed, 200, bearer(secret))
    found: set[int] = set()
    done = asyncio.Event()

    async def ask(headers: dict[str, str]) -> None:
        while not done.is_set():
            found.add((await closed.chat("chat", headers=headers)).status)

    async def ask_with_key() -> None:
        while not done.is_set():
            assert await status(closed, secret) == 200

    tasks = [asyncio.create_task(each) for each in (ask(bearer(token)), ask(forged), ask_with_key())]
    for round_ in range(6):
        await add(closed, issuer, models=("chat",) if round_ % 2 else ())
        closed.keys.dismiss_issuer("corp")
        await becomes(closed, 401, bearer(token))
    done.set()
    await asyncio.gather(*tasks)
    assert found <= {401, 403}


async def test_each_subject_sends_as_many_requests_in_a_minute_as_it_may(closed: Gateway, issuer: RealIssuer) -> None:
    await add(closed, issuer, requests_per_minute=5, models=("chat",))
    secret = create(closed)
    await becomes(closed, 200, bearer(secret))
    ada, eve = (issuer.key.token(issuer.claims(sub=name)) for name in ("grace", "eve"))
    answers: list[Answer] = [await closed.chat(headers=bearer(ada)) for _ in range(7)]
    assert [answer.status for answer in answers] == [200] * 5 + [429] * 2
    assert (answers[-1].error["code"], "'jwt:corp:grace'" in answers[-1].error["message"]) == (
        "rate_limit_exceeded",
        True,
    )
    assert int(answers[-1].headers["retry-after"]) > 0
    assert await status(closed, eve) == 200
    assert [await status(closed, secret) for _ in range(7)] == [200] * 7

    async def refused() -> bool:
        rows = Ledger(closed.base).read(since=0, until=1e12)
        return [used.key for used in rows if used.status == 429] == ["jwt:corp:grace"] * 2

    await eventually(refused)


async def test_a_model_limits_each_subject_as_a_key(admitted: Gateway, issuer: RealIssuer, first: Upstream) -> None:
    limits = Limits(per_key=KeyLimits(requests_per_minute=2))
    await admitted.publish(model("chat", first.endpoint(), limits=limits), model("embed", first.endpoint()))
    for subject in ("ada", "eve"):
        token = issuer.key.token(issuer.claims(sub=subject, bateau_models="*"))
        assert [await status(admitted, token) for _ in range(3)] == [200, 200, 429]
        assert await status(admitted, token, "embed") == 200


async def test_a_change_of_a_key_keeps_the_counts_of_subjects(closed: Gateway, issuer: RealIssuer) -> None:
    await add(closed, issuer, requests_per_minute=2, models=("chat",))
    token = issuer.key.token(issuer.claims(sub="counted"))
    assert [await status(closed, token) for _ in range(3)] == [200, 200, 429]
    secret = create(closed, "another")
    await becomes(closed, 200, bearer(secret))
    assert await status(closed, token) == 429


async def test_damaged_files_let_nobody_in_and_change_nothing(admitted: Gateway, issuer: RealIssuer) -> None:
    token, path = issuer.token("ada"), admitted.base / "bateau" / "test" / "issuers.json"
    before = path.read_text()
    path.write_text("{")
    with pytest.raises(ControlError, match=r"issuers\.json"):
        admitted.keys.publish(open_to_all=False)  # so no control plane starts
    with pytest.raises(ControlError, match=r"issuers\.json"):
        create(admitted, "refused")
    with pytest.raises(ControlError, match=r"issuers\.json"):
        await Issuers(admitted.keys, os.environ).refresh()
    assert Issuers(admitted.keys, os.environ).known() == {}
    assert await status(admitted, token) == 200
    path.write_text(before)
    (path.parent / "signing-keys.json").write_text("{")
    admitted.keys.publish(open_to_all=False)
    await becomes(admitted, 401, bearer(token))
    await Issuers(admitted.keys, os.environ).refresh()
    await becomes(admitted, 200, bearer(token))


async def test_pages_that_need_no_key_need_no_token(admitted: Gateway) -> None:
    headers = bearer("a.b.c")
    assert (await admitted.ask("GET", "/healthz", headers=headers)).status == 200
    # It came as far as the control plane: its sender proves itself by a signature.
    assert (await admitted.ask("POST", "/-/webhooks/git", data=b"", headers=headers)).status == 503


async def test_without_an_issuer_nothing_is_verified(closed: Gateway) -> None:
    secret = create(closed)
    await becomes(closed, 200, bearer(secret))
    for name in (TOKEN_CHAIN, *OF_TOKENS, CLAIMED_MODELS):
        tree = json.loads((closed.keys.directory / f"{name}.json").read_text())
        config = tree["resources"][0]["typed_config"]
        assert config == NO_FILTER, name
    assert "jwt" not in (closed.keys.directory / "bateau.keys.json").read_text()


async def test_an_issuer_alone_closes_the_endpoint(closed: Gateway, issuer: RealIssuer) -> None:
    await add(closed, issuer)
    assert closed.keys.load().required
    assert not closed.keys.load().by_name
    assert await status(closed, issuer.token("ada")) == 200
    assert (await closed.chat()).status == 401
    closed.keys.publish(open_to_all=True)
    await becomes(closed, 200, {})
    assert await status(closed, "a.b.c") == 200
    closed.keys.publish(open_to_all=False)
    await becomes(closed, 401, {})
