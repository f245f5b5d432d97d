"""Keys at the real Envoy: who gets in, with which models, how often, until when; and what nobody sees."""

import hashlib
import json
import time
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio

from bateau.domain.api_key import ApiKey
from bateau.domain.errors import ControlError
from bateau.kit.secret_key import key_of
from bateau.store.ledger import Ledger
from bateau.traffic.envoy.key_filters import ALL
from traffic.gateway import Answer, Gateway, becomes_equal, eventually, model
from traffic.upstream import Upstream

pytestmark = pytest.mark.asyncio(loop_scope="module")

MESSAGES: dict[str, object] = {"model": "chat", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 1}


@pytest_asyncio.fixture(loop_scope="module")
async def keyed(gateway: Gateway, first: Upstream) -> AsyncIterator[Gateway]:
    """The gateway with two models, and without a key of an earlier test."""
    await gateway.publish(model("chat", first.endpoint()), model("embed", first.endpoint()))
    for name in gateway.keys.load().by_name:
        gateway.keys.revoke(name)
    yield gateway


def create(gateway: Gateway, name: str = "ci", **more: Any) -> str:
    _, secret = gateway.keys.create(ApiKey(name=name, owner="me", created_at=time.time(), **more))
    return secret


def bearer(secret: str) -> dict[str, str]:
    return {"authorization": f"Bearer {secret}"}


async def becomes(gateway: Gateway, status: int, headers: dict[str, str], name: str = "chat") -> Answer:
    """Ask until the answer has a status: a change takes effect within a second."""

    async def asked() -> Answer | None:
        answer = await gateway.chat(name, headers=headers)
        return answer if answer.status == status else None

    return await eventually(asked, within_s=1.0)


async def test_without_any_key_everybody_gets_in(gateway: Gateway, first: Upstream) -> None:
    await gateway.publish(model("chat", first.endpoint()))
    assert not gateway.keys.load().required
    assert (await gateway.chat(headers=bearer("none"))).status == 200
    assert (await gateway.chat()).status == 200


async def test_from_the_first_key_on_only_its_secret_gets_in(keyed: Gateway, first: Upstream) -> None:
    secret = create(keyed)
    await becomes(keyed, 200, bearer(secret))
    answer = await keyed.chat()
    assert (answer.status, answer.error["code"]) == (401, "missing_api_key")
    assert answer.headers["www-authenticate"] == "Bearer"
    answer = await keyed.chat(headers=bearer("bateau_" + "0" * 38))
    assert (answer.status, answer.error["code"]) == (401, "invalid_api_key")
    seen = len(first.seen)
    for headers in (
        {"authorization": f"bearer {secret}"},
        {"authorization": f"BEARER   {secret}"},
        {"x-api-key": secret},
        {"authorization": "Basic eDp5", "x-api-key": secret},
    ):
        assert (await keyed.chat(headers=headers)).status == 200, headers
    assert len(first.seen) == seen + 4


@pytest.mark.parametrize(
    "headers",
    [
        {"authorization": ""},
        {"authorization": "Bearer"},
        {"authorization": "Bearer "},
        {"authorization": "Bearer " + "x" * 4000},
        {"authorization": "Bearer é"},
        {"x-api-key": ""},
        [("x-api-key", "SECRET"), ("x-api-key", "SECRET")],
        [("x-api-key", "SECRET"), ("x-api-key", "other")],
        {"x-bateau-key": "ci"},
        {"x-bateau-refused": "no", "X-Bateau-Key": "ci"},
        {"authorization": "Bearer HASH"},
        {"x_api_key": "SECRET"},
        {"api-key": "SECRET"},
    ],
)
async def test_a_forged_or_damaged_header_gets_nobody_in(
    keyed: Gateway, first: Upstream, headers: dict[str, str] | list[tuple[str, str]]
) -> None:
    secret = create(keyed)
    await becomes(keyed, 200, bearer(secret))
    digest = hashlib.sha256(secret.encode()).hexdigest()
    seen = len(first.seen)
    pairs = headers.items() if isinstance(headers, dict) else headers
    sent = [(name, value.replace("HASH", digest).replace("SECRET", secret)) for name, value in pairs]
    assert (await keyed.chat(headers=sent)).status == 401
    assert len(first.seen) == seen


async def test_many_keys_are_told_apart(keyed: Gateway) -> None:
    secrets = [key_of(bytes([each] * 24)) for each in range(40)]
    found = [create(keyed, f"k{number}") for number in range(20)]
    await becomes(keyed, 200, bearer(found[-1]))
    assert [(await keyed.chat(headers=bearer(each))).status for each in found] == [200] * 20
    assert {(await keyed.chat(headers=bearer(each))).status for each in secrets} == {401}


@asynccontextmanager
async def of_specs(gateway: Gateway, digests: Mapping[str, str]) -> AsyncGenerator[None]:
    """Admit keys by their hashes, as specs do."""
    gateway.keys.declare([ApiKey(name=n, owner="git", sha256=d, declared_at="keys.yaml:1") for n, d in digests.items()])
    try:
        yield
    finally:
        gateway.keys.declare(())


def sha256(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


async def test_hashes_of_the_gateway_are_those_of_python(keyed: Gateway, first: Upstream) -> None:
    """Lengths around the blocks of SHA-256, for as many requests as it takes until LuaJIT has compiled the code."""
    lengths = (1, 30, 54, 55, 56, 63, 64, 65, 118, 119, 120, 128, 256)
    secrets = {f"of-{length}": ("secret-" * 50)[:length] for length in lengths}
    async with of_specs(keyed, {name: sha256(secret) for name, secret in secrets.items()}):
        await becomes(keyed, 200, bearer(secrets["of-64"]))
        for _ in range(15):
            for name, secret in secrets.items():
                assert (await keyed.chat(headers=bearer(secret))).status == 200, name
                assert first.seen[-1].headers["x-bateau-key"] == name
                assert (await keyed.chat(headers=bearer(f"{secret[:-1]}?"))).status == 401, name


async def test_a_longer_secret_is_none(keyed: Gateway) -> None:
    secret, longest = "x" * 257, "x" * 256
    async with of_specs(keyed, {"longest": sha256(longest), "longer": sha256(secret)}):
        await becomes(keyed, 200, bearer(longest))
        assert (await keyed.chat(headers=bearer(secret))).error["code"] == "missing_api_key"


async def test_a_hash_is_compared_as_a_whole(keyed: Gateway, first: Upstream) -> None:
    """Two secrets whose hashes begin with the same 32 bits, and hashes that differ from those of secrets in one bit."""
    by_word: dict[str, str] = {}
    for number in range(2**20):
        secret = f"secret-{number}"
        other = by_word.setdefault(sha256(secret)[:8], secret)
        if other != secret:
            break
    else:
        raise AssertionError("no two hashes begin with the same bits")
    near = {f"near-{place}": f"near-{place}" for place in range(0, 64, 7)}
    digests = {name: _with_another_digit(sha256(each), int(name[5:])) for name, each in near.items()}
    async with of_specs(keyed, {"one": sha256(secret), "two": sha256(other), **digests}):
        await becomes(keyed, 200, bearer(secret))
        assert first.seen[-1].headers["x-bateau-key"] == "one"
        assert (await keyed.chat(headers=bearer(other))).status == 200
        assert first.seen[-1].headers["x-bateau-key"] == "two"
        assert {(await keyed.chat(headers=bearer(each))).status for each in near.values()} == {401}


def _with_another_digit(digest: str, place: int) -> str:
    return f"{digest[:place]}{int(digest[place], 16) ^ 1:x}{digest[place + 1 :]}"


async def test_a_change_takes_effect_within_a_second(keyed: Gateway) -> None:
    secret = create(keyed)
    await becomes(keyed, 200, bearer(secret))
    _, second = keyed.keys.rotate("ci")
    await becomes(keyed, 200, bearer(second))
    assert (await keyed.chat(headers=bearer(secret))).status == 401
    keyed.keys.revoke("ci")
    answer = await becomes(keyed, 401, bearer(second))
    assert answer.error["code"] == "invalid_api_key"


async def test_a_key_uses_the_models_that_it_may(keyed: Gateway, first: Upstream) -> None:
    secret = create(keyed, models=("cha*", "other"))
    await becomes(keyed, 200, bearer(secret))
    seen = len(first.seen)
    answer = await keyed.chat("embed", headers=bearer(secret))
    assert (answer.status, answer.error["code"]) == (403, "model_not_allowed")
    assert "'ci'" in answer.error["message"]
    for trick in ({"x-bateau-model": "chat"}, {"x_bateau_model": "chat"}):
        assert (await keyed.chat("embed", headers={**bearer(secret), **trick})).status == 403
    assert len(first.seen) == seen
    # What names no model is for everybody with a key.
    assert (await keyed.ask("GET", "/v1/models", headers=bearer(secret))).status == 200
    assert (await keyed.ask("POST", "/v1/chat/completions", json={}, headers=bearer(secret))).status == 400
    assert (await keyed.ask("GET", "/v1/models")).status == 401


@pytest.mark.parametrize(
    ("globs", "allowed"),
    [
        (["*"], ["chat", "embed"]),
        (["chat"], ["chat"]),
        (["c?at"], ["chat"]),
        (["hat", "cha", "CHAT", ".*", "c.at"], []),
    ],
)
async def test_a_glob_is_matched_as_a_whole(keyed: Gateway, globs: Sequence[str], allowed: Sequence[str]) -> None:
    all_models = create(keyed, "boss")
    secret = create(keyed, models=tuple(globs))
    await becomes(keyed, 200, bearer(all_models))
    await eventually(lambda: _is_known(keyed, secret), within_s=1.0)
    for name in ("chat", "embed"):
        assert (await keyed.chat(name, headers=bearer(secret))).status == (200 if name in allowed else 403), name


@pytest.mark.parametrize(
    "globs",
    [
        [f"model-number-{number}-instruct" for number in range(500)],
        ["*".join("abcdefghijklmnopqrstuvwxyz") * 3, "?" * 190, "x" * 190 + "*"],
    ],
)
async def test_many_and_long_globs_take_effect(gateway: Gateway, first: Upstream, globs: Sequence[str]) -> None:
    """Envoy refuses a large regular expression, and keeps the filter before: for the first key, that of all models."""
    await gateway.publish(model("chat", first.endpoint()))
    for name in gateway.keys.load().by_name:
        gateway.keys.revoke(name)
    gateway.keys.publish(open_to_all=True)
    await becomes(gateway, 200, {})
    secret = create(gateway, models=tuple(globs))
    gateway.keys.publish(open_to_all=False)
    await becomes(gateway, 401, {})
    assert (await becomes(gateway, 403, bearer(secret))).error["code"] == "model_not_allowed"

    async def listed() -> object:
        return (await gateway.ask("GET", "/v1/models", headers=bearer(secret))).tree["data"]

    await becomes_equal(listed, [])


async def test_what_is_no_glob_is_refused(keyed: Gateway) -> None:
    for wrong in ("chat|embed", "", "a b", "[a-z]"):
        with pytest.raises(ControlError, match="not a name of models"):
            create(keyed, models=(wrong,))
    for wrong in ("two\nlines", "\x1b[31m", "\udcff"):
        with pytest.raises(ControlError, match="cannot be printed"):
            create(keyed, note=wrong)


async def _is_known(gateway: Gateway, secret: str) -> bool:
    return (await gateway.ask("GET", "/v1/models", headers=bearer(secret))).status == 200


async def test_a_key_ends_at_its_time_without_any_process_acting(keyed: Gateway) -> None:
    secret = create(keyed, expires_at=float(int(time.time()) + 2))
    other = create(keyed, "other", expires_at=time.time() + 3600)
    await becomes(keyed, 200, bearer(secret))

    async def refused() -> Answer | None:
        answer = await keyed.chat(headers=bearer(secret))
        return answer if answer.status != 200 else None

    answer = await eventually(refused, within_s=5.0)
    assert (answer.status, answer.error["code"]) == (401, "expired_api_key")
    assert (await keyed.chat(headers=bearer(other))).status == 200


async def test_a_key_sends_as_many_requests_in_a_minute_as_it_may(keyed: Gateway) -> None:
    limited, free = create(keyed, "limited", requests_per_minute=5), create(keyed, "free")
    await becomes(keyed, 200, bearer(free))
    answers = [await keyed.chat(headers=bearer(limited)) for _ in range(8)]
    assert [answer.status for answer in answers] == [200] * 5 + [429] * 3
    last = answers[-1]
    assert last.error["code"] == "rate_limit_exceeded"
    assert 0 < int(last.headers["retry-after"]) <= 60
    assert answers[0].headers["x-ratelimit-limit"].startswith("5")
    assert (await keyed.chat(headers=bearer(free))).status == 200
    # What is refused is charged to the key, too.
    ledger = Ledger(keyed.base)

    async def refused() -> bool:
        return [used.key for used in ledger.read(since=0, until=1e12) if used.status == 429] == ["limited"] * 3

    await eventually(refused)


@pytest.mark.parametrize(
    ("budget", "code", "says"),
    [
        ("minute", "rate_limit_exceeded", "has used as many tokens as it may in a minute."),
        ("day", "insufficient_quota", "has used up the tokens that it may use in a day."),
        ("month", "insufficient_quota", "has used up the tokens that it may use in a month."),
        ("money-day", "insufficient_quota", "has used up the money that it may spend in a day. The next day begins at"),
        ("money-month", "insufficient_quota", "the money that it may spend in a month. The next month begins on its"),
        ("energy-day", "insufficient_quota", "has used up the energy (kWh) that it may use in a day. The next day"),
        ("energy-month", "insufficient_quota", "the energy (kWh) that it may use in a month. The next month begins"),
    ],
)
async def test_a_key_whose_budget_is_used_up_is_refused_until_a_time(
    keyed: Gateway, budget: str, code: str, says: str
) -> None:
    empty, other = create(keyed, "empty"), create(keyed, "other")
    keyed.keys.refuse({budget: {"empty": time.time() + 3}})
    await becomes(keyed, 200, bearer(other))
    answer = await becomes(keyed, 429, bearer(empty))
    assert (answer.error["code"], int(answer.headers["retry-after"]) > 0) == (code, True)
    assert says in answer.error["message"]
    assert (await keyed.chat(headers=bearer(other))).status == 200
    answer = await keyed.ask("POST", "/v1/messages", json=MESSAGES, headers={"x-api-key": empty})
    assert (answer.status, answer.tree["error"]["type"]) == (429, "rate_limit_error")
    assert says in answer.tree["error"]["message"]
    await eventually(lambda: _is_known(keyed, empty), within_s=5.0)


async def test_errors_below_messages_have_the_shape_of_anthropic(keyed: Gateway) -> None:
    """C3."""
    secret = create(keyed, requests_per_minute=3, models=("chat",))
    await becomes(keyed, 200, bearer(secret))

    async def ask(tree: object, headers: dict[str, str]) -> tuple[int, str]:
        answer = await keyed.ask("POST", "/v1/messages", json=tree, headers=headers)
        assert list(answer.tree) == ["type", "error"] or set(answer.tree) == {"type", "error"}
        assert set(answer.tree["error"]) == {"type", "message"}
        assert answer.tree["type"] == "error"
        return answer.status, answer.tree["error"]["type"]

    good = {"x-api-key": secret}
    assert await ask(MESSAGES, {}) == (401, "authentication_error")
    assert await ask({**MESSAGES, "model": "embed"}, good) == (403, "permission_error")
    assert await ask({"messages": []}, good) == (400, "invalid_request_error")
    assert await ask(MESSAGES, good) == (429, "rate_limit_error")


async def test_no_secret_reaches_a_replica_or_the_configuration(keyed: Gateway, first: Upstream) -> None:
    secret = create(keyed)
    forged = {"x-bateau-anything": "1", "X-Bateau-Key": "root"}
    await becomes(keyed, 200, {**bearer(secret), "x-api-key": secret, **forged})
    headers = first.seen[-1].headers
    assert secret not in str(headers)
    # The name of the key that was checked is no secret; the lines about begun requests have it from there.
    found = {name.lower(): value for name, value in headers.items()}
    assert [value for name, value in found.items() if name.startswith("x-bateau-")] == [found["x-bateau-key"]]
    assert found["x-bateau-key"] not in {"root", secret}
    assert not [name for name in found if name.startswith(("authorization", "x-api-key"))]
    assert secret not in (await keyed.admin.text("/config_dump?include_eds") or "")
    for path in keyed.base.rglob("*"):
        if path.is_file():
            assert secret.encode() not in path.read_bytes(), path


async def test_probes_need_no_key_and_pages_do(keyed: Gateway) -> None:
    secret = create(keyed)
    await becomes(keyed, 200, bearer(secret))
    assert (await keyed.ask("GET", "/healthz")).status == 200
    for path in ("/metrics", "/v1/models", "/v1/nope"):
        assert (await keyed.ask("GET", path)).status == 401, path
    for path in ("/-/webhooks/git", "/-/events"):
        assert (await keyed.ask("POST", path, data=b"")).status == 503, "it came as far as the control plane"


async def test_a_damaged_file_changes_nothing(keyed: Gateway) -> None:
    secret = create(keyed)
    await becomes(keyed, 200, bearer(secret))
    for name in ALL:
        path = keyed.keys.directory / f"{name}.json"
        before = path.read_text()
        for damaged in ("", "{", '{"resources": []}', before.replace('"typed_config": {', '"typed_config": {"x": 1, ')):
            _replace(path, damaged)
            assert (await keyed.chat(headers=bearer(secret))).status == 200
            assert (await keyed.chat()).status == 401
        _replace(path, before)


def _replace(path: Path, content: str) -> None:
    partial = path.with_suffix(".test")
    partial.write_text(content)
    partial.replace(path)


async def test_after_the_last_key_was_revoked_nobody_gets_in(keyed: Gateway) -> None:
    secret = create(keyed)
    await becomes(keyed, 200, bearer(secret))
    keyed.keys.revoke("ci")
    await becomes(keyed, 401, bearer(secret))
    assert (await keyed.chat()).status == 401
    keyed.keys.publish(open_to_all=True)
    await becomes(keyed, 200, {})
    keyed.keys.publish(open_to_all=False)
    await becomes(keyed, 401, {})


async def test_a_command_that_failed_halfway_can_be_repeated(keyed: Gateway) -> None:
    secret = create(keyed)
    await becomes(keyed, 200, bearer(secret))
    in_the_way = keyed.keys.directory / "bateau.keys.partial"
    in_the_way.mkdir()  # as a full disk would
    with pytest.raises(ControlError, match="cannot write to"):
        keyed.keys.revoke("ci")
    with pytest.raises(ControlError, match="cannot write to"):
        create(keyed, "other")
    in_the_way.rmdir()
    keyed.keys.revoke("ci")
    other = create(keyed, "other")
    await becomes(keyed, 200, bearer(other))
    assert (await keyed.chat(headers=bearer(secret))).status == 401


async def test_ten_thousand_keys_are_known(keyed: Gateway) -> None:
    path = keyed.base / "bateau" / "test" / "keys.json"
    secret = create(keyed)
    tree = json.loads(path.read_text())
    row = tree["keys"][0]
    tree["keys"] = [
        row,
        *({**row, "name": f"k{n}", "sha256": f"{n:064x}", "models": [f"m{n % 50}"]} for n in range(10_000)),
    ]
    path.write_text(json.dumps(tree))
    keyed.keys.publish(open_to_all=False)
    await eventually(lambda: _is_known(keyed, secret), within_s=10.0)
    assert (await keyed.chat(headers=bearer(secret))).status == 200


@pytest.mark.parametrize("content", [None, "", "{}", "not JSON"])
async def test_without_its_files_the_gateway_refuses_every_request(content: str | None) -> None:
    made = Gateway()
    if content is not None:
        made.keys.directory.mkdir(parents=True)
        for name in ALL:
            (made.keys.directory / f"{name}.json").write_text(content)
    try:
        await made.open(with_key_filters=False)
        await made.publish()
        for _ in range(20):
            try:
                assert (await made.ask("GET", "/v1/models")).status == 403
                assert (await made.chat()).status == 403
            except aiohttp.ClientConnectorError:  # without the files, the port does not open
                assert content is None
    finally:
        await made.close()
