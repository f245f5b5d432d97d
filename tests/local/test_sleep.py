"""Real models that sleep: the first request wakes them, many may wait, and they make room for each other."""

import asyncio
import json
import os
import signal
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import aiohttp

from local.stack import Stack, chat_body, wait_for

SLEEPY = """\
apiVersion: bateau.dev/v1alpha1
kind: Model
metadata: {{name: {name}}}
spec:
  source: smollm2
  contextLength: 512
  scale: {{min: 0, idleAfter: {idle}, queue: {{max: 64, wait: {wait}}}}}
"""


def sleepy(name: str = "chat", *, idle: str = "5m", wait: str = "60s") -> str:
    """Return the document of a model that may sleep."""
    return SLEEPY.format(name=name, idle=idle, wait=wait)


def state(stack: Stack, key: str = "model/chat") -> tuple[str, str]:
    """Return the state of a service and its reason."""
    tree = stack.ask_status()
    assert tree is not None
    (found,) = [each for each in tree["services"] if each["service"] == key]
    return found["state"], found["reason"] or ""


async def ask_many(stack: Stack, count: int, **extra: Any) -> list[tuple[int, str, dict[str, Any]]]:
    """Send requests at the same time, and return the status, Retry-After and body of each answer."""
    connector = aiohttp.TCPConnector(limit=0)

    async def ask(session: aiohttp.ClientSession) -> tuple[int, str, dict[str, Any]]:
        body = {**chat_body(max_tokens=2), **extra}
        async with session.post(f"{stack.url}/v1/chat/completions", json=body) as answer:
            return answer.status, answer.headers.get("retry-after", ""), json.loads(await answer.text())

    async with aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=120)) as session:
        return await asyncio.gather(*(ask(session) for _ in range(count)))


def test_a_model_sleeps_until_a_request_and_again_when_it_is_idle(stack: Stack) -> None:
    stack.write(sleepy(idle="2s"))
    assert stack.up().code == 0
    assert state(stack)[0] == "Asleep"
    assert stack.replicas() == []
    for _ in range(2):
        answers = asyncio.run(ask_many(stack, 1))
        assert answers[0][0] == 200, answers
        assert state(stack)[0] == "Ready"
        wait_for(lambda: state(stack)[0] == "Asleep" and not stack.replicas(), timeout_s=20)
        assert "it sleeps: no request for" in state(stack)[1]


def test_ollamas_clients_wake_a_model_without_a_prompt_and_see_when_it_sleeps(stack: Stack) -> None:
    stack.write(sleepy(idle="30s"))
    assert stack.up().code == 0
    about = {"model": "chat", "stream": False}
    assert stack.get("/api/ps") == {"models": []}
    assert stack.post("/api/generate", {**about, "keep_alive": 0})["done_reason"] == "unload"
    assert state(stack)[0] == "Asleep"
    assert stack.post("/api/generate", about)["done_reason"] == "load"
    assert state(stack)[0] == "Ready"
    (found,) = stack.get("/api/ps")["models"]
    left = datetime.fromisoformat(found["expires_at"]) - datetime.now(tz=UTC)
    assert timedelta(seconds=0) < left < timedelta(seconds=31)
    assert "scale.idleAfter" in stack.post("/api/generate", {**about, "keep_alive": 0})["error"]


async def test_64_requests_may_wait_and_the_65th_is_told_when_to_come_back(stack: Stack) -> None:
    stack.write(sleepy())
    assert stack.up().code == 0
    answers = await ask_many(stack, 70)
    counted = Counter(status for status, _, _ in answers)
    # The bucket fills by one in a second, and the model needs about one to wake up.
    assert counted[503] in range(3, 7), counted
    assert counted[200] == 70 - counted[503]
    refused = [(again, body) for status, again, body in answers if status == 503]
    assert {again for again, _ in refused} == {"2"}
    assert "is asleep, and as many requests as may are waiting for it" in refused[0][1]["error"]["message"]


async def test_a_request_waits_through_the_death_of_the_control_plane(stack: Stack) -> None:
    stack.write(sleepy())
    assert stack.up().code == 0
    control = stack.control_pid()
    os.kill(control, signal.SIGSTOP)  # nothing wakes the model
    asked = asyncio.create_task(ask_many(stack, 3))
    await asyncio.sleep(1)
    os.kill(control, signal.SIGKILL)
    assert not asked.done()
    assert (await asyncio.to_thread(stack.up)).code == 0
    assert [status for status, _, _ in await asked] == [200, 200, 200]


async def test_two_models_that_fit_only_one_at_a_time_both_answer_in_turn(stack: Stack) -> None:
    stack.write(sleepy())
    stack.write(sleepy("other"), "other.yaml")
    assert stack.up("--memory", "600Mi").code == 0
    for name, sleeps in (("chat", "other"), ("other", "chat"), ("chat", "other")):
        answers = await ask_many(stack, 2, model=name)
        assert [status for status, _, _ in answers] == [200, 200], answers
        assert state(stack, f"model/{name}")[0] == "Ready"
        assert state(stack, f"model/{sleeps}")[0] == "Asleep"
    assert "it made room for model/chat" in state(stack, "model/other")[1]


async def test_a_wait_ends_with_what_the_model_waits_for(stack: Stack) -> None:
    stack.write(sleepy(wait="2s"))
    stack.write(sleepy("other").replace("min: 0", "min: 1"), "other.yaml")
    assert stack.up("--memory", "600Mi").code == 0
    ((status, again, body),) = await ask_many(stack, 1)
    assert (status, again, body["error"]["code"]) == (503, "2", "model_sleeps")
    assert "/v1/models/chat says what it waits for" in body["error"]["message"]
    entry = await asyncio.to_thread(stack.get, "/v1/models/chat")
    assert "it waits for memory: it needs" in entry["status"]["says"]
