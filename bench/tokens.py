"""What the gateway costs a stream: tokens/s and first token through it, against the same replica asked directly.

The endpoint does all of its work: the request has a key with limits on requests and tokens, and the ledger gets a line
for it. The replica is asked at its own socket, without a key.

Noise: pairs in turn, and the first of a pair is the replica every second time, so that what else the machine does hits
both. The model samples nothing and keeps no prompt. Ollama is compared where it is installed.
"""

import json
import shutil
import sys
import time
from collections.abc import Sequence

from bench.extent import Extent, extent
from bench.instance import Instance
from bench.report import figure
from bench.stream import Timing, post, stream

FULL, TRIAL = Extent(rounds=31, seconds=0), Extent(rounds=5, seconds=0)
TOKENS = 64
_LEDGER_S = 5.0


def main(arguments: Sequence[str] = ()) -> None:
    """Measure and report."""
    size = extent(arguments, what=__doc__, full=FULL, trial=TRIAL)
    with Instance() as instance:
        secret = instance.key()
        instance.up()
        replica = instance.replica_socket()
        refused = post(instance.port, {"model": "chat", "messages": []})
        assert refused == 401, f"a request without a key got {refused}"
        stream(replica, "warm up", tokens=TOKENS)
        stream(instance.port, "warm up", tokens=TOKENS, secret=secret)
        pairs: list[tuple[Timing, Timing]] = []
        for number in range(size.rounds):
            prompt = f"Story {number}: tell me about the sea."
            timings: dict[bool, Timing] = {}
            for through in (False, True) if number % 2 else (True, False):
                target, key = (instance.port, secret) if through else (replica, None)
                timings[through] = stream(target, prompt, tokens=TOKENS, secret=key)
            pairs.append((timings[False], timings[True]))
        _check_ledger(instance, 1 + size.rounds)
    figure(
        "tokens/s through the gateway ÷ directly",
        [through.tokens_per_s / direct.tokens_per_s for direct, through in pairs],
        unit="x",
        at_least=0.99,
        note=f"SmolLM2-135M Q4_1, one stream of {TOKENS} tokens, pairs in turn; with a key, limits and the ledger",
    )
    figure(
        "first token through the gateway, beyond directly",
        [1000 * (through.first_token_s - direct.first_token_s) for direct, through in pairs],
        unit="ms",
        at_most=2,
    )
    figure("tokens/s through the gateway", [through.tokens_per_s for _, through in pairs], unit="tokens/s")
    figure("first token through the gateway", [1000 * through.first_token_s for _, through in pairs], unit="ms")
    if shutil.which("ollama") is None:
        print("Ollama is not installed here: not compared")


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
