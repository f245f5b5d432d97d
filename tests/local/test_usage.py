"""The ledger of a real instance agrees with the counters of llama.cpp, and survives every process."""

import json
import os
import re
import signal
import urllib.request
from typing import Any

from local.stack import Stack, chat_body, wait_for
from local.test_keys import create


def ask(stack: Stack, path: str, body: dict[str, object], secret: str) -> None:
    headers = {"content-type": "application/json", "authorization": f"Bearer {secret}"}
    request = urllib.request.Request(stack.url + path, json.dumps(body).encode(), headers)
    with urllib.request.urlopen(request, timeout=60) as answer:
        answer.read()


def mixed(stack: Stack, secret: str, rounds: int) -> int:
    """Send requests of each API, as a stream and whole; return how many."""
    messages = [{"role": "user", "content": "Count to five."}]
    sent = 0
    for _ in range(rounds):
        for stream in (False, True):
            ask(stack, "/v1/chat/completions", dict(chat_body(max_tokens=7, stream=stream)), secret)
            ask(stack, "/v1/completions", {"model": "chat", "prompt": "One", "max_tokens": 5, "stream": stream}, secret)
            ask(
                stack,
                "/v1/messages",
                {"model": "chat", "messages": messages, "max_tokens": 6, "stream": stream},
                secret,
            )
            ask(
                stack,
                "/v1/responses",
                {"model": "chat", "input": "Hi", "max_output_tokens": 8, "stream": stream},
                secret,
            )
            sent += 4
    return sent


def generated(stack: Stack, secret: str) -> float:
    request = urllib.request.Request(stack.url + "/metrics", headers={"authorization": f"Bearer {secret}"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        page = answer.read().decode()
    return sum(
        float(value) for value in re.findall(r"^bateau_model_generated_tokens_total\{.*\} (\S+)$", page, re.MULTILINE)
    )


def leave(stack: Stack, secret: str, *, events: int) -> None:
    """Leave a stream after some of its events."""
    headers = {"content-type": "application/json", "authorization": f"Bearer {secret}"}
    body = json.dumps({**chat_body(stream=True, max_tokens=200), "ignore_eos": True}).encode()
    request = urllib.request.Request(f"{stack.url}/v1/chat/completions", body, headers)
    with urllib.request.urlopen(request, timeout=60) as answer:
        while events:
            events -= answer.readline().startswith(b"data: ")


def closed(stack: Stack) -> list[dict[str, Any]]:
    """Return what a check says when nothing is in flight, and an answer that was left is in the ledger."""
    rows = json.loads(stack.bateau("usage", "--check", "--json").out)["replicas"]
    return rows if all(row["requestsEstimated"] and not row["requestsInFlight"] for row in rows) else []


def used(stack: Stack) -> dict[str, dict[str, int]]:
    tree = json.loads(stack.bateau("usage", "--json").out)
    assert tree["damagedLines"] == 0
    return {group["key"]: group for group in tree["groups"]}


def test_the_ledger_agrees_with_the_engine_and_survives_every_process(stack: Stack) -> None:
    secret = create(stack, "ci", "--owner", "search")
    assert stack.up().code == 0
    sent = mixed(stack, secret, 2)
    wait_for(lambda: used(stack).get("ci", {}).get("requests") == sent, timeout_s=10)
    first = used(stack)["ci"]
    assert first["requestsWithoutTokens"] == 0
    assert first["tokensOut"] == generated(stack, secret)
    assert first["tokensIn"] > first["tokensCached"] > 0
    # A killed control plane and a killed gateway take no line with them that was written a moment before.
    stack.kill_control()
    sent += mixed(stack, secret, 1)
    assert stack.up().code == 0
    wait_for(lambda: used(stack)["ci"]["requests"] == sent, timeout_s=10)
    (pid,) = stack.pids("gateway/envoy").values()
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: stack.pids("gateway/envoy") not in ({}, {"gateway.envoy.0": pid}), timeout_s=20)
    sent += mixed(stack, secret, 1)
    wait_for(lambda: used(stack)["ci"]["requests"] == sent, timeout_s=10)
    assert used(stack)["ci"]["tokensOut"] == generated(stack, secret)
    # A client that leaves has used what the engine has made for it until then.
    leave(stack, secret, events=6)
    (row,) = wait_for(lambda: closed(stack), timeout_s=20)
    assert (row["replica"], row["requests"], row["requestsEstimated"]) == ("model.chat.0", sent + 1, 1)
    assert abs(row["tokensOut"] - row["engineTokensOut"]) <= 6
    assert abs(row["tokensIn"] - row["engineTokensIn"]) <= 12
    assert "DIFFERENCE" in stack.bateau("usage", "--check").out
    sent += 1
    owners = json.loads(stack.bateau("usage", "--by", "owner", "--json").out)["groups"]
    assert [(group["owner"], group["requests"]) for group in owners if group["owner"] != "(no key)"] == [
        ("search", sent)
    ]
    assert "search" in stack.bateau("usage", "--by", "owner").out
    assert stack.bateau("usage", "--by", "model", "--csv").out.startswith("model,requests,errors,tokensIn,")
    assert stack.bateau("usage", "--last", "soon").code == 2
