"""Conversations over two real replicas: their turns reach the one whose llama.cpp has their beginning in its cache."""

import json
import os
import signal
import time
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest

from bateau.wiring.usage import ledger_of
from local.stack import Stack, wait_for
from traffic.gateway import native_library

CHAT = """\
apiVersion: bateau.dev/v1alpha1
kind: Model
metadata: {{name: chat}}
spec:
  source: smollm2
  replicas: 2
  parallel: 4
  contextLength: 512
  threads: 1
  affinity: {affinity}
"""
WORDS = "the quick brown fox jumps over the lazy dog near the old river bank while it rains " * 6
CONVERSATIONS, TURNS = 4, 3


@pytest.fixture(scope="module")
def talking(cache: Any) -> Iterator[Stack]:
    native_library()
    made = Stack(cache)
    made.write(CHAT.format(affinity="prefix"))
    done = made.up()
    assert done.code == 0, done.err
    yield made
    made.destroy()


class Conversation:
    """A chat whose turns each send all that was said before."""

    def __init__(self, stack: Stack, name: str) -> None:
        self._stack = stack
        self._messages = [{"role": "system", "content": f"{name}: {WORDS}"}]

    def turn(self) -> None:
        self._messages.append({"role": "user", "content": "Go on."})
        body = {"model": "chat", "messages": self._messages, "max_tokens": 2, "temperature": 0}
        answer = self._stack.post("/v1/chat/completions", body)
        self._messages.append(answer["choices"][0]["message"])


def now() -> float:
    """Return a time that is not after that of a line about a request that follows: lines have whole milliseconds."""
    return int(time.time() * 1000) / 1000


def lines(stack: Stack, since: float, count: int) -> list[Any]:
    ledger = ledger_of(stack.name, stack.environ)

    def written() -> list[Any] | None:
        found = [used for used in ledger.read(since=since, until=time.time() + 1) if used.balanced_by]
        return found if len(found) >= count else None

    return wait_for(written, timeout_s=10) if count else written() or []


def test_the_turns_of_a_conversation_hit_the_cache_of_its_replica(talking: Stack) -> None:
    since = now()
    talks = [Conversation(talking, f"hit {number}") for number in range(CONVERSATIONS)]
    for _ in range(TURNS):
        for talk in talks:
            talk.turn()
    found = lines(talking, since, CONVERSATIONS * TURNS)
    by_talk = [found[number::CONVERSATIONS] for number in range(CONVERSATIONS)]
    for turns in by_talk:
        affine = [used for used in turns if used.balanced_by == "prefix"]
        assert len({used.replica for used in affine}) == 1, turns
        for used in affine[1:]:
            assert used.tokens_cached > 0.8 * used.tokens_in - 20, used
    page = talking.bateau("explain", "chat", "--route").out
    assert "affinity   on: the turns of a conversation go to one replica" in page, page
    assert "of prompts cached, in" in page, page
    tree = json.loads(talking.bateau("explain", "chat", "--route", "--json").out)
    assert tree["replicas"] == {"model.chat.0": "Ready", "model.chat.1": "Ready"}
    assert tree["lastHour"]["prefix"]["requests"] >= CONVERSATIONS
    with urllib.request.urlopen(talking.url + "/metrics", timeout=30) as answer:
        assert 'bateau_affinity{gen_ai_request_model="chat"} 1' in answer.read().decode()


def test_a_dead_replica_costs_no_turn(talking: Stack) -> None:
    talk = Conversation(talking, "dead")
    since = now()
    talk.turn()
    (first,) = lines(talking, since, 1)
    dead = next(each for each in talking.replicas() if each["id"] == first.replica)
    os.kill(dead["pid"], signal.SIGKILL)
    for _ in range(3):
        talk.turn()
    found = lines(talking, since, 4)
    assert [used.status for used in found] == [200] * 4
    wait_for(lambda: [each["state"] for each in talking.replicas()] == ["Ready", "Ready"] or None, timeout_s=60)


def test_the_field_turns_it_off_and_no_replica_restarts(talking: Stack) -> None:
    before = [each["pid"] for each in talking.replicas()]
    talking.write(CHAT.format(affinity="none"))
    wait_for(lambda: "off: spec.affinity is none" in talking.bateau("explain", "chat", "--route").out)
    since = now()
    Conversation(talking, "off").turn()
    wait_for(lambda: list(ledger_of("default", talking.environ).read(since=since, until=2**40)))
    assert lines(talking, since, 0) == []
    assert [each["pid"] for each in talking.replicas()] == before


def test_envoys_own_filters_have_no_affinity_and_say_so(cache: Any) -> None:
    made = Stack(cache)
    try:
        made.write(CHAT.format(affinity="prefix"))
        done = made.bateau(
            "up", "-C", str(made.specs), "--detach", "--listen", f"127.0.0.1:{made.port}", BATEAU_FILTERS="stock"
        )
        assert done.code == 0, done.err
        Conversation(made, "stock").turn()
        page = made.bateau("explain", "model/chat", "--route").out
        assert "off: it needs the native filter, and the gateway has Envoy's own: BATEAU_FILTERS=stock" in page, page
    finally:
        made.destroy()
