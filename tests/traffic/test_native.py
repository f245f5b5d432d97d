"""The native filter alone: what Envoy's own filters do not have, and what a library in Envoy's process must not do."""

import asyncio
import json
import os
import signal
import subprocess
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
from aiohttp import web

from bateau.domain.api_key import ApiKey
from bateau.domain.measures import TIME_EDGES_S
from bateau.observe.metrics import samples
from bateau.store.ledger import Ledger
from bateau.traffic.envoy.api_paths import MODEL_PATHS
from bateau.traffic.envoy.gate import EXCEPTIONS, Gate, gate_filter, refused_in
from bateau.traffic.envoy.key_filters import GATE, KEYS, REQUESTS
from bateau.traffic.envoy.listener import MODEL_FILTERS
from bateau.traffic.envoy.routes import front_routes
from traffic.gateway import REPLICA, Gateway, eventually, model, native_library, running_gateway
from traffic.upstream import Stream, Upstream, upstream

pytestmark = pytest.mark.asyncio(loop_scope="module")

CHAT = "/v1/chat/completions"
ASK = {"model": "chat"}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def gateway() -> AsyncIterator[Gateway]:
    async with running_gateway(native_library()) as made:
        yield made


@pytest_asyncio.fixture(loop_scope="module")
async def keyed(gateway: Gateway, first: Upstream) -> Gateway:
    await gateway.publish(model("chat", first.endpoint()), model("embed", first.endpoint()))
    for name in gateway.keys.load().by_name:
        gateway.keys.revoke(name)
    return gateway


def bearer(gateway: Gateway, name: str, **limits: Any) -> dict[str, str]:
    _, secret = gateway.keys.create(ApiKey(name=name, owner="me", created_at=time.time(), **limits))
    return {"authorization": f"Bearer {secret}"}


async def known(gateway: Gateway, headers: dict[str, str]) -> None:
    async def is_known() -> bool:
        return (await gateway.ask("GET", "/healthz-not", headers=headers)).status == 404

    await eventually(is_known, within_s=1.0)


async def opened(gateway: Gateway) -> None:
    """Let everybody in, and wait until the gateway knows it."""
    gateway.keys.publish(open_to_all=True)

    async def is_open() -> bool:
        return (await gateway.ask("GET", "/v1/models")).status == 200

    await eventually(is_open, within_s=1.0)


async def test_a_key_has_no_more_requests_in_flight_than_it_may(keyed: Gateway, first: Upstream) -> None:
    """Two workers share the count, and every end of a request is counted once."""
    headers = bearer(keyed, "few", concurrent=3)
    await known(keyed, headers)
    for _ in range(3):
        stream = Stream()
        first.answer = stream.answer
        async with aiohttp.ClientSession(
            keyed.url, connector=aiohttp.TCPConnector(limit=0, force_close=True)
        ) as session:
            asked = [asyncio.create_task(session.post(CHAT, json=ASK, headers=headers)) for _ in range(24)]
            done: set[asyncio.Task[aiohttp.ClientResponse]] = set()
            while len(done) < 21:
                done, _ = await asyncio.wait(asked, return_when=asyncio.FIRST_COMPLETED, timeout=5)
                done = {each for each in asked if each.done() and each.result().status == 429}
            refused = done.pop().result()
            error = (await refused.json())["error"]
            assert (error["code"], refused.headers["retry-after"]) == ("rate_limit_exceeded", "1")
            assert "'few' may have 3 requests in flight" in error["message"]
            for _ in range(3):
                stream.end()
            responses = await asyncio.gather(*asked)
            for response in responses:
                await response.read()
            assert sorted(response.status for response in responses) == [200] * 3 + [429] * 21


async def test_a_client_that_leaves_ends_its_request(keyed: Gateway, first: Upstream) -> None:
    headers = bearer(keyed, "leaving", concurrent=1)
    await known(keyed, headers)
    for _ in range(5):
        stream = Stream()
        first.answer = stream.answer
        response = await keyed.session.post(CHAT, json=ASK, headers=headers)
        assert response.status == 200
        assert (await keyed.ask("POST", CHAT, json=ASK, headers=headers)).status == 429
        response.close()

        async def free() -> bool:
            return (await keyed.ask("GET", "/v1/models", headers=headers)).status == 200

        await eventually(free)


async def test_a_change_of_keys_forgets_no_count(keyed: Gateway) -> None:
    headers = bearer(keyed, "kept", requests_per_minute=4)
    await known(keyed, headers)  # one request
    for _ in range(3):
        assert (await keyed.chat(headers=headers)).status == 200
    other = bearer(keyed, "other")
    await known(keyed, other)
    assert (await keyed.chat(headers=headers)).status == 429


async def test_what_is_left_of_a_limit_is_told_as_openai_does(keyed: Gateway) -> None:
    headers = bearer(keyed, "told", requests_per_minute=3)
    await known(keyed, headers)
    answer = await keyed.chat(headers=headers)
    names = [f"x-ratelimit-{what}-requests" for what in ("limit", "remaining", "reset")]
    assert [answer.headers[name] for name in names] == ["3", "1", "40s"]
    await keyed.chat(headers=headers)
    answer = await keyed.chat(headers=headers)
    assert (answer.status, answer.headers["x-ratelimit-remaining-requests"]) == (429, "0")
    assert answer.headers["x-ratelimit-reset-requests"] in {"1m0s", "59s"}


async def test_the_limits_of_a_key_replace_those_that_an_answer_tells(keyed: Gateway, first: Upstream) -> None:
    async def limited(_: web.Request) -> web.Response:
        return web.json_response({}, headers={"x-ratelimit-remaining-requests": "77", "x-ratelimit-limit-tokens": "9"})

    headers = bearer(keyed, "replaces", requests_per_minute=3)
    await known(keyed, headers)
    first.answer = limited
    answer = await keyed.chat(headers=headers)
    remaining = [value for name, value in answer.headers.items() if name.lower() == "x-ratelimit-remaining-requests"]
    assert remaining == ["1"]
    assert answer.headers["x-ratelimit-limit-tokens"] == "9"


async def test_a_damaged_file_keeps_the_old_table(keyed: Gateway) -> None:
    headers = bearer(keyed, "ci")
    await known(keyed, headers)
    path = keyed.keys.directory / f"{GATE}.json"
    good = path.read_text()
    for damaged in ("", "{", good.replace('\\"format\\": 1', '\\"format\\": 2'), good.replace("sha256", "sha")):
        assert damaged != good
        _replace(path, damaged)
        await asyncio.sleep(0.1)
        assert (await keyed.chat(headers=headers)).status == 200
        assert (await keyed.chat()).status == 401
    assert await keyed.stat(f"extension_config_discovery.http_filter.{GATE}.config_fail") > 0
    _replace(path, good)


def _replace(path: Path, content: str) -> None:
    partial = path.with_suffix(".test")
    partial.write_text(content)
    partial.replace(path)


async def test_a_rotation_under_load_loses_no_line(keyed: Gateway) -> None:
    await opened(keyed)
    ledger, found = Ledger(keyed.base), list[str]()
    before = {used.id for used in ledger.read(since=0, until=1e12)}
    rotating, sent = True, list[str]()

    async def rotate() -> None:
        number = 0
        while rotating:
            number += 1
            os.utime(keyed.base / "requests.jsonl")
            (keyed.base / "requests.jsonl").replace(keyed.base / f"requests-2026110{number % 10}T{number:06}.jsonl")
            ledger.open()
            await ledger.keep(keyed.plane.reopen_logs, now=time.time())
            await asyncio.sleep(0.05)

    async def ask() -> None:
        for _ in range(60):
            sent.append((await keyed.chat()).headers["x-request-id"])

    rotation = asyncio.create_task(rotate())
    await asyncio.gather(*(ask() for _ in range(8)))
    rotating = False
    await rotation

    async def written() -> bool:
        used = [each.id for each in ledger.read(since=0, until=1e12) if each.id not in before]
        found[:] = used
        return len(used) >= len(sent)

    await eventually(written, within_s=5.0)
    assert sorted(found) == sorted(sent)
    assert ledger.damaged == 0
    keyed.keys.publish(open_to_all=False)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
async def test_a_killed_gateway_loses_the_last_millisecond_at_most(number: signal.Signals) -> None:
    async with running_gateway(native_library()) as made, upstream("model.chat.0", made.base / "0.sock") as first:
        await made.publish(model("chat", first.endpoint()))
        ids = [(await made.chat()).headers["x-request-id"] for _ in range(50)]
        await asyncio.sleep(0.05 if number == signal.SIGKILL else 0)  # the writer may wait for a busy processor
        await made.end(REPLICA, number)
        assert _ended(made.base / "requests.jsonl") == ids


def _ended(path: Path) -> list[str]:
    """Return the requests of the native filter's own lines: those that have ended."""
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    return [line["id"] for line in lines if line["v"] == "1"]


async def test_a_full_disk_holds_no_request(keyed: Gateway) -> None:
    """A directory in the way of the file is an error like any other: lines wait, and are written later."""
    await opened(keyed)
    path = keyed.base / "requests.jsonl"
    path.unlink(missing_ok=True)
    path.mkdir()
    ids = [(await keyed.chat()).headers["x-request-id"] for _ in range(5)]
    path.rmdir()

    async def written() -> bool:
        return path.exists() and _ended(path) == ids

    await eventually(written, within_s=5.0)
    keyed.keys.publish(open_to_all=False)


async def test_a_full_ledger_refuses_requests_if_it_is_asked_to(keyed: Gateway) -> None:
    """None is answered without a line, in either API's shape; other paths are served."""
    native = keyed.keys.gate
    assert native is not None
    keyed.keys.use(replace(native, refuses_unwritten=True))
    await opened(keyed)
    path = keyed.base / "requests.jsonl"
    path.unlink(missing_ok=True)
    path.mkdir()
    await keyed.chat()  # the first that cannot be written is not known before it ends

    async def refused() -> bool:
        return (await keyed.chat()).status == 503

    await eventually(refused, within_s=1.0)
    answer = await keyed.ask("POST", "/v1/messages", json=ASK)
    assert (answer.status, json.loads(answer.body)["error"]["type"]) == (503, "overloaded_error")
    assert (await keyed.chat()).error["code"] == "ledger_not_written"
    assert (await keyed.chat()).headers["retry-after"]
    assert (await keyed.ask("GET", "/v1/models")).status == 200
    path.rmdir()

    async def answered() -> bool:
        return (await keyed.chat()).status == 200

    await eventually(answered, within_s=2.0)
    keyed.keys.use(native)
    keyed.keys.publish(open_to_all=False)


async def test_a_killed_gateway_has_told_what_it_was_working_on() -> None:
    """The line about a beginning is in the file a millisecond after the request came to the replica."""
    async with running_gateway(native_library()) as made, upstream("model.chat.0", made.base / "0.sock") as first:
        came = asyncio.Event()

        async def silent(_: web.Request) -> web.StreamResponse:
            came.set()
            await asyncio.sleep(60)
            return web.Response()

        first.answer = silent
        await made.publish(model("chat", first.endpoint()))
        asked = asyncio.create_task(made.chat())
        await came.wait()
        await asyncio.sleep(0.005)
        await made.end(REPLICA, signal.SIGKILL)
        asked.cancel()
        ledger = Ledger(made.base)
        assert [*ledger.read(since=0, until=1e12)] == []
        (cut,) = ledger.cut(before=1e12)
        assert (cut.model, cut.replica, cut.path) == ("chat", "model.chat.0", CHAT)


async def test_a_key_is_revoked_also_while_the_filters_change(keyed: Gateway) -> None:
    headers = bearer(keyed, "leaving-too")
    await known(keyed, headers)
    native = keyed.keys.gate
    keyed.keys.use(None)
    keyed.keys.publish(open_to_all=False)
    assert keyed.keys.gate is None
    keyed.keys.revoke("leaving-too")

    async def refused() -> bool:
        return (await keyed.chat(headers=headers)).status == 401

    await eventually(refused, within_s=1.0)
    keyed.keys.use(native)
    assert keyed.keys.gate == native


async def test_an_idle_gateway_uses_no_processor(keyed: Gateway) -> None:
    await asyncio.sleep(0.2)
    before = _wakes_of_writer(keyed.pid(REPLICA))
    await asyncio.sleep(0.5)
    assert _wakes_of_writer(keyed.pid(REPLICA)) == before


def _wakes_of_writer(pid: int) -> list[str]:
    texts = [path.read_text() for path in Path(f"/proc/{pid}/task").glob("*/status")]
    [writer] = [text for text in texts if "bateau-ledger" in text]
    return [line for line in writer.splitlines() if line.startswith("voluntary_ctxt")]


@pytest.fixture(scope="module")
def panicking() -> Path:
    """The library with panics on request, which only tests have."""
    native_library()
    script = Path(__file__).parents[2] / ".ci" / "gate"
    said = subprocess.run([script], check=False, capture_output=True, text=True)
    if said.returncode and not os.environ.get("CI"):
        pytest.skip(said.stderr)
    assert said.returncode == 0, said.stderr
    return Path(said.stdout.splitlines()[-1]) / "libbateau_gate_panics.so"


async def test_a_panic_ends_one_request_and_no_other(panicking: Path) -> None:
    async with running_gateway(panicking) as made, upstream("model.chat.0", made.base / "0.sock") as first:
        await made.publish(model("chat", first.endpoint()))
        stream = Stream()
        first.answer = stream.answer
        async with made.session.post(CHAT, json=ASK) as response:
            first.answer = _ok
            for place in ("request_headers", "request_body"):
                answer = await made.chat(headers={"x-gate-panics": place})
                assert (answer.status, answer.error["code"]) == (500, "gateway_error"), place
            for place in ("response_headers", "response_body"):
                assert (await made.chat(headers={"x-gate-panics": place})).status == 200, place
            stream.send(b"data: 1\n\n")
            stream.end()
            assert await response.content.read() == b"data: 1\n\n"
        await made.chat()
        assert await made.stat("bateau.gate_panics") >= 4


async def _ok(_: web.Request) -> web.StreamResponse:
    return web.json_response({})


async def test_a_model_with_a_line_break_in_its_name_makes_no_header(keyed: Gateway, first: Upstream) -> None:
    await opened(keyed)
    for name in ("chat\nx-evil: 1", "chat\x00", "\x7f"):
        assert (await keyed.chat(name)).status == 404
    assert not first.seen
    keyed.keys.publish(open_to_all=False)


async def test_exceptions_are_those_of_the_routes() -> None:
    """Both chains check the same at each path."""
    skipped = {"key": KEYS, "limits": REQUESTS, "model": MODEL_FILTERS[0]}
    translator = model("translated")
    hosts: Any = front_routes([], translator=translator)["virtual_hosts"]
    found: dict[str, set[str]] = {}
    for route in hosts[0]["matcher"]["on_no_match"]["action"]["typed_config"]["routes"]:
        match, disabled = route["match"], route.get("typed_per_filter_config", {})
        skips = {name for name, each in skipped.items() if disabled.get(each, {}).get("disabled")}
        if skips and (parent := match.get("path_separated_prefix")):
            found |= {parent: skips, f"{parent}/": skips}
        elif skips:
            found[match.get("path") or match["prefix"]] = skips
    del found["/ui/live"]  # it is below another one
    exceptions: Any = EXCEPTIONS
    assert found == {each.get("path") or each["prefix"]: set(each["without"]) for each in exceptions}
    assert not found.keys() & set(MODEL_PATHS)


async def test_what_is_refused_is_read_back_from_the_file() -> None:
    refused = {"day": {"ci": 7.5}, "minute": {"ci": 3.0, "other": 4.0}}
    content = gate_filter(Gate(library=Path("/x.so"), ledger=None), (), refused)
    assert refused_in(content) == refused
    for damaged in ("", "{}", "[]", '{"resources": []}', content.replace("refused", "other")):
        assert refused_in(damaged) == {}


async def test_counts_of_requests_survive_a_change_of_the_keys(keyed: Gateway, first: Upstream) -> None:
    """Envoy forgets a counter that no configuration of the filter has, and each change of the keys is a new one."""

    async def slow(_: web.Request) -> web.Response:
        await asyncio.sleep(0.03)
        return web.json_response({})

    first.answer = slow
    await keyed.publish(model("slow", first.endpoint()))
    headers = bearer(keyed, "counts")
    await known(keyed, headers)
    assert (await keyed.ask("POST", CHAT, json={"model": "slow"}, headers=headers)).status == 200

    async def counts() -> dict[tuple[str, str], float]:
        text = await keyed.admin.text("/stats/prometheus") or ""
        return {
            (name.removeprefix("envoy_bateau_"), labels.get("le", "")): float(value)
            for name, labels, value in samples(text)
            if labels.get("route") == "slow" and name.startswith("envoy_bateau_")
        }

    asked = await eventually(counts)
    assert asked["requests", ""] == 1
    for time_ in ("request_duration", "time_to_first_token"):
        assert (asked[f"{time_}_count", ""], asked[f"{time_}_bucket", "+Inf"]) == (1, 1)
        assert asked[f"{time_}_sum", ""] >= 30
        edges = {edge: count for (name, edge), count in asked.items() if name == f"{time_}_bucket"}
        # Without an empty bucket below that of the request, its percentile would begin at zero.
        assert (len(edges), edges["25"], edges["300000"]) == (len(TIME_EDGES_S) + 1, 0, 1)
    for name in ("more", "and-more"):  # each replaces the configuration before it
        await known(keyed, bearer(keyed, name))
        await asyncio.sleep(0.2)
    assert await counts() == asked
