"""What the gateway costs a stream: tokens/s and first token through it, against the same replica asked directly.

The endpoint does all of its work: the request has a key with limits on requests and tokens, and the ledger gets a line
for it. The replica is asked at its own socket, without a key. Both are measured twice: with an engine that uses all
cores, as is the default, so that the gateway takes time from it; and with an engine that leaves one core.

Noise: pairs in turn, and the first of a pair is the replica every second time, so that what else the machine does hits
both. The model samples nothing and keeps no prompt. Ollama is compared where it is installed.
"""

import json
import os
import shutil
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass

from bench.extent import Extent, extent
from bench.instance import SPEC, Instance
from bench.report import figure
from bench.stream import Timing, post, stream

FULL, TRIAL = Extent(rounds=31, seconds=0), Extent(rounds=5, seconds=0)
TOKENS = 64
_LEDGER_S = 5.0


@dataclass(frozen=True, kw_only=True)
class _Pair:
    """The same prompt, sent to the replica and through the gateway."""

    direct: Timing
    through: Timing


def main(arguments: Sequence[str] = ()) -> None:
    """Measure and report."""
    size = extent(arguments, what=__doc__, full=FULL, trial=TRIAL)
    _report(_pairs(SPEC, size.rounds), "")
    if (cores := os.cpu_count() or 1) > 1:
        left = SPEC.replace("spec: {", f"spec: {{threads: {cores - 1}, ")
        _report(_pairs(left, size.rounds), ", one core not used by the engine")
    if shutil.which("ollama") is None:
        print("Ollama is not installed here: not compared")


def _pairs(spec: str, rounds: int) -> list[_Pair]:
    with Instance({"chat.yaml": spec}) as instance:
        secret = instance.key()
        instance.up()
        replica = instance.replica_socket()
        refused = post(instance.port, {"model": "chat", "messages": []})
        assert refused == 401, f"a request without a key got {refused}"
        stream(replica, "warm up", tokens=TOKENS)
        stream(instance.port, "warm up", tokens=TOKENS, secret=secret)
        pairs: list[_Pair] = []
        for number in range(rounds):
            prompt = f"Story {number}: tell me about the sea."
            timings: dict[bool, Timing] = {}
            for through in (False, True) if number % 2 else (True, False):
                target, key = (instance.port, secret) if through else (replica, None)
                timings[through] = stream(target, prompt, tokens=TOKENS, secret=key)
            pairs.append(_Pair(direct=timings[False], through=timings[True]))
        _check_ledger(instance, 1 + rounds)
    return pairs


def _report(pairs: Sequence[_Pair], where: str) -> None:
    figure(
        f"tokens/s through the gateway ÷ directly{where}",
        [each.through.tokens_per_s / each.direct.tokens_per_s for each in pairs],
        unit="x",
        at_least=0.99,
        note=f"SmolLM2-135M Q4_1, one stream of {TOKENS} tokens, pairs in turn; with a key, limits and the ledger",
    )
    figure(
        f"first token through the gateway, beyond directly{where}",
        [1000 * (each.through.first_token_s - each.direct.first_token_s) for each in pairs],
        unit="ms",
        at_most=2,
    )
    rates = [each.through.tokens_per_s for each in pairs]
    figure(f"tokens/s through the gateway{where}", rates, unit="tokens/s")
    firsts = [1000 * each.through.first_token_s for each in pairs]
    figure(f"first token through the gateway{where}", firsts, unit="ms")


def _check_ledger(instance: Instance, requests: int) -> None:
    """Check that every answer was counted, so that the figures are those of a gateway that counts."""
    wanted = (requests, requests * TOKENS)
    deadline = time.monotonic() + _LEDGER_S
    found: tuple[int, int] | None = None
    while found != wanted:
        assert time.monotonic() < deadline, f"the ledger has {found} (requests, tokens) instead of {wanted}"
        groups = json.loads(instance.bateau("usage", "--json"))["groups"]
        found = next(((each["requests"], each["tokensOut"]) for each in groups if each["key"] == "bench"), None)


if __name__ == "__main__":
    main(sys.argv[1:])
