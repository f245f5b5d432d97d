"""Conversations over two replicas: the time to first token of their later turns, with affinity beside least-request.

Each conversation has a system prompt of its own of some 300 tokens, and turns that each send all that was said before,
as chat clients do. The same program asks the same instance in both ways; only `spec.affinity` differs, which changes no
replica. The conversations of each measurement are new, so nothing is cached for the other way.

Noise: both ways are measured in each round, one after the other, in the other order in each second round. The ratio is
that of two neighbours.
"""

import asyncio
import json
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass

import aiohttp

from bench.extent import Extent, extent
from bench.instance import Instance
from bench.report import figure

FULL, TRIAL = Extent(rounds=7, seconds=0), Extent(rounds=1, seconds=0)
TURNS = 5
CONVERSATIONS = 6
WAYS = ("prefix", "none")
_SPEC = """\
apiVersion: bateau.dev/v1alpha1
kind: Model
metadata: {{name: chat}}
spec:
  source: smollm2
  replicas: 2
  parallel: 4
  contextLength: 2048
  threads: 1
  affinity: {affinity}
"""
_SYSTEM = "the quick brown fox jumps over the lazy dog near the old river bank while it rains " * 15
_PATIENCE_S = 600.0


@dataclass(frozen=True)
class Turn:
    """One later turn: the seconds until its first token, and the cached share of its prompt."""

    first_token_s: float
    cached: float


def main(arguments: Sequence[str] = ()) -> None:
    """Measure and report."""
    size = extent(arguments, what=__doc__, full=FULL, trial=TRIAL)
    found: dict[int, dict[str, list[Sequence[Turn]]]] = {at_once: {way: [] for way in WAYS} for at_once in (1, 4)}
    with Instance({"chat.yaml": _SPEC.format(affinity="prefix")}) as instance:
        instance.up()
        for number in range(size.rounds):
            for at_once, ways in found.items():
                for way in WAYS if number % 2 else reversed(WAYS):
                    _turn(instance, way)
                    label = f"{number} {at_once} {way}"
                    ways[way].append(asyncio.run(_measure(instance.port, label, at_once)))
    for at_once, ways in found.items():
        _report(at_once, ways)


def _turn(instance: Instance, way: str) -> None:
    """Have the instance balance in one of the ways."""
    (instance.base / "specs" / "chat.yaml").write_text(_SPEC.format(affinity=way))
    deadline = time.monotonic() + _PATIENCE_S
    while instance.status()["services"][0]["affinity"]["on"] != (way == "prefix"):
        assert time.monotonic() < deadline, "the specs are not read"
        time.sleep(0.2)
    time.sleep(1)  # the gateway has its routes a moment later


def _report(at_once: int, ways: dict[str, list[Sequence[Turn]]]) -> None:
    what = "one conversation at a time" if at_once == 1 else f"{at_once} conversations at once"
    medians = {way: [statistics.median(turn.first_token_s for turn in turns) for turns in ways[way]] for way in WAYS}
    figure(
        f"affinity: first token of a later turn, least-request ÷ affinity, {what}",
        [none / prefix for prefix, none in zip(medians["prefix"], medians["none"], strict=True)],
        unit="x",
        at_least=1.0,
        note=f"SmolLM2-135M Q4_1, 2 replicas of 4 slots and 1 thread, {CONVERSATIONS} conversations of {TURNS} turns",
    )
    for way in WAYS:
        figure(f"affinity: first token of a later turn, {way}, {what}", medians[way], unit="s")
        shares = [statistics.fmean(turn.cached for turn in turns) for turns in ways[way]]
        figure(f"affinity: cached share of the prompts of later turns, {way}, {what}", shares, unit="")


async def _measure(port: int, label: str, at_once: int) -> Sequence[Turn]:
    """Hold conversations, as many at once as told, and return their later turns."""
    timeout = aiohttp.ClientTimeout(total=_PATIENCE_S)
    free = asyncio.Semaphore(at_once)
    async with aiohttp.ClientSession(f"http://127.0.0.1:{port}", timeout=timeout) as session:
        talks = [_Conversation(session, f"{label} {number}") for number in range(CONVERSATIONS)]

        async def turn(talk: _Conversation) -> Turn:
            async with free:
                return await talk.turn()

        # Each turn of all conversations comes before the next turn of any, as with people who read and write between.
        rounds = [await asyncio.gather(*map(turn, talks)) for _ in range(TURNS)]
    return [each for later in rounds[1:] for each in later]


class _Conversation:
    def __init__(self, session: aiohttp.ClientSession, label: str) -> None:
        self._session = session
        self._messages = [{"role": "system", "content": f"{label}: {_SYSTEM}"}]

    async def turn(self) -> Turn:
        """Say something, and hear the whole answer."""
        self._messages.append({"role": "user", "content": f"Tell me more, part {len(self._messages)}."})
        body = {"model": "chat", "messages": self._messages, "max_tokens": 4, "stream": True, "temperature": 0}
        timings: dict[str, float] = {}
        started, first_token_s, text = time.perf_counter(), 0.0, ""
        async with self._session.post("/v1/chat/completions", json=body) as answer:
            assert answer.status == 200, await answer.text()
            async for line in answer.content:
                first_token_s = first_token_s or time.perf_counter() - started
                if line.startswith(b"data: {"):
                    event = json.loads(line.removeprefix(b"data: "))
                    text += "".join(choice["delta"].get("content") or "" for choice in event["choices"])
                    timings = event.get("timings") or timings
        self._messages.append({"role": "assistant", "content": text})
        return Turn(first_token_s, timings["cache_n"] / (timings["cache_n"] + timings["prompt_n"]))


if __name__ == "__main__":
    main(sys.argv[1:])
