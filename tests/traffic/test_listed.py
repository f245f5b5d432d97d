"""What a key learns about the models: those that it may use, also through Ollama's API, and no others."""

import asyncio
import json
import random
import re
import sys
import time
from collections.abc import AsyncIterator
from functools import partial
from typing import Any

import pytest
import pytest_asyncio
from yarl import URL

from bateau.domain.api_key import ApiKey
from bateau.domain.endpoint import Backend, Endpoint
from bateau.traffic.envoy.key_filters import glob_regex
from traffic.gateway import WAIT_S, Answer, Gateway, becomes_equal, eventually, model, translated
from traffic.upstream import Upstream

pytestmark = pytest.mark.asyncio(loop_scope="module")

NAMES = ["ada", "chat", "chat-large", "gpt-4o", "qwen/2.5:7b"]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def translator(gateway: Gateway) -> AsyncIterator[Backend]:
    """The real translator, as a process."""
    socket = gateway.base / "translator.sock"
    command = ["-m", "bateau.traffic.translator", "--socket", str(socket), "--gateway", str(gateway.inner)]
    process = await asyncio.create_subprocess_exec(sys.executable, *command)
    try:

        async def listens() -> bool:
            return socket.exists()

        await eventually(listens)
        endpoint = Endpoint(replica="gateway.translator.0", address=str(socket))
        yield translated(endpoint)
    finally:
        process.terminate()
        await process.wait()


@pytest_asyncio.fixture(loop_scope="module")
async def served(gateway: Gateway, first: Upstream, translator: Backend) -> Gateway:
    """The gateway with three models, one of which has other names, and without a key of an earlier test."""
    large = model("chat-large", first.endpoint(), aliases=("gpt-4o", "qwen/2.5:7b"))
    await gateway.publish(model("chat", first.endpoint()), large, model("ada", first.endpoint()), translator)
    for name in gateway.keys.load().by_name:
        gateway.keys.revoke(name)
    return gateway


async def key(gateway: Gateway, name: str, *models: str) -> dict[str, str]:
    """Create a key, and return the header with its secret when every worker of Envoy knows it."""
    _, secret = gateway.keys.create(ApiKey(name=name, owner="me", created_at=time.time(), models=models))
    headers = {"authorization": f"Bearer {secret}"}

    async def is_known() -> bool:
        answers = [await gateway.ask("GET", "/v1/models", headers=headers) for _ in range(8)]
        return all(each.status == 200 for each in answers)

    await eventually(is_known)
    return headers


async def listed(gateway: Gateway, headers: dict[str, str]) -> list[str]:
    answer = await gateway.ask("GET", "/v1/models", headers=headers)
    assert (answer.status, answer.tree["object"]) == (200, "list")
    return [each["id"] for each in answer.tree["data"]]


async def test_without_keys_all_models_are_listed(gateway: Gateway, first: Upstream) -> None:
    gateway.keys.publish(open_to_all=True)
    await gateway.publish(model("chat", first.endpoint()), model("ada", first.endpoint()))
    try:

        async def is_open() -> bool:
            return (await gateway.ask("GET", "/v1/models")).status == 200

        await eventually(is_open)
        await becomes_equal(lambda: listed(gateway, {}), ["ada", "chat"])
    finally:
        gateway.keys.publish(open_to_all=False)


async def test_a_key_sees_the_models_that_it_may_use(served: Gateway) -> None:
    every, some, none = await key(served, "every", "*"), await key(served, "some", "chat*", "gpt-?o"), {}
    await becomes_equal(lambda: listed(served, every), NAMES)
    await becomes_equal(lambda: listed(served, some), ["chat", "chat-large", "gpt-4o"])
    none = await key(served, "none", "nope")
    await becomes_equal(lambda: listed(served, none), [])
    # An entry of the list is the one of the model, and equals that in the list of all.
    full = {each["id"]: each for each in (await served.ask("GET", "/v1/models", headers=every)).tree["data"]}
    part = (await served.ask("GET", "/v1/models?x=1", headers=some)).tree["data"]
    assert part == [full[name] for name in ("chat", "chat-large", "gpt-4o")]
    head = await served.ask("HEAD", "/v1/models", headers=some)
    assert (head.status, head.body) == (200, b"")
    assert head.headers["content-type"] == "application/json"


async def test_a_model_that_a_key_may_not_use_does_not_exist_for_it(served: Gateway) -> None:
    some = await key(served, "some", "chat*")
    assert (await served.ask("GET", "/v1/models/chat", headers=some)).tree["id"] == "chat"
    for hidden in ("ada", "gpt-4o", "qwen/2.5:7b", "qwen/2.5%3A7b"):
        answer = await served.ask("GET", URL(f"/v1/models/{hidden}", encoded=True), headers=some)
        assert (answer.status, answer.error["code"], answer.error["param"]) == (404, "model_not_found", "model")
        assert not [name for name in NAMES if name in answer.error["message"]]
    absent = await served.ask("GET", "/v1/models/absent", headers=some)
    assert absent.error["message"] == 'The model does not exist. Models here: "chat", "chat-large".'
    nothing = await key(served, "none", "nope")
    absent = await served.ask("GET", "/v1/models/absent", headers=nothing)
    assert absent.error["message"] == "The model does not exist. This key may use none of the models here."


async def test_ollamas_list_is_that_of_the_key(served: Gateway) -> None:
    every, some = await key(served, "every", "*"), await key(served, "some", "chat")

    async def tags(headers: dict[str, str]) -> list[str]:
        return [each["name"] for each in (await served.ask("GET", "/api/tags", headers=headers)).tree["models"]]

    await becomes_equal(lambda: tags(some), ["chat:latest"])
    await becomes_equal(lambda: tags(every), [f"{name}:latest" if ":" not in name else name for name in NAMES])
    shown: Answer = await served.ask("POST", "/api/show", json={"model": "ada"}, headers=some)
    assert shown.status == 404
    assert (await served.ask("GET", "/v2/models/ada/ready", headers=some)).status == 404
    assert (await served.ask("GET", "/v2/models/chat/ready", headers=some)).status == 200


async def test_no_header_of_the_client_changes_the_list(served: Gateway) -> None:
    await key(served, "every", "*")
    some = await key(served, "some", "chat")
    for forged in ({"x-bateau-key": "every"}, {"X-Bateau-Key": "every"}, {"x_bateau_key": "every"}):
        await becomes_equal(partial(listed, served, {**some, **forged}), ["chat"])


async def test_a_key_whose_file_does_not_name_it_sees_nothing(served: Gateway) -> None:
    """The files of the keys are replaced one after another."""
    some = await key(served, "some", "*")
    path = served.keys.directory / "bateau.listed.json"
    before, other = path.read_text(), served.keys.directory / "other"
    await key(served, "other", "*")
    served.keys.revoke("some")
    without = path.read_text()
    assert without != before
    served.keys.revoke("other")
    some = await key(served, "some", "*")
    written = other.with_suffix(".partial")
    written.write_text(without)
    written.replace(path)

    async def sees_nothing() -> bool:
        return not await listed(served, some)

    await eventually(sees_nothing, within_s=2.0)


async def test_globs_match_as_those_of_the_models_filter(served: Gateway) -> None:
    rng = random.Random(7)  # noqa: S311 - the same globs each time
    names = sorted({"".join(rng.choice("ab") for _ in range(rng.randint(1, 6))) for _ in range(60)})
    globs = ["".join(rng.choice("ab*?") for _ in range(rng.randint(1, 6))) for _ in range(12)]
    globs += ["?" * 3, "a*b*a*", "*"]
    await served.publish(*(model(name) for name in names))
    for number, glob in enumerate(globs):
        headers = await key(served, f"k{number}", glob, "unused")
        expected = [name for name in names if re.fullmatch(glob_regex(glob), name)]
        await becomes_equal(partial(listed, served, headers), expected)
    # A way of matching that goes back for each star would take years.
    headers = await key(served, "stars", "*" * 90 + "c", "*a" * 50)
    await becomes_equal(lambda: listed(served, headers), [])


async def test_a_thousand_models_and_keys_are_listed(served: Gateway) -> None:
    await served.publish(*(model(f"m{number:04}") for number in range(1000)), within_s=WAIT_S)
    path = served.base / "bateau" / "test" / "keys.json"
    headers = await key(served, "some", "m00*")
    tree: dict[str, Any] = json.loads(path.read_text())
    row = tree["keys"][0]
    more = ({**row, "name": f"k{n}", "sha256": f"{n:064x}", "models": [f"m{n}", "m1*"]} for n in range(1_000))
    tree["keys"] = [row, *more]
    path.write_text(json.dumps(tree))
    served.keys.publish(open_to_all=False)
    await becomes_equal(lambda: listed(served, headers), [f"m{number:04}" for number in range(100)])
