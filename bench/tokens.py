"""What the gateway costs a stream: tokens/s and first token through it, against the same replica asked directly.

Pairs in turn, so that what else the machine does hits both. Ollama is compared where it is installed.
"""

import shutil

from bench.instance import Instance
from bench.report import figure
from bench.stream import Timing, stream

PAIRS = 31
TOKENS = 64


def main() -> None:
    """Measure and report."""
    with Instance() as instance:
        instance.up()
        replica = instance.replica_socket()
        stream(replica, "warm up", tokens=TOKENS)
        stream(instance.port, "warm up", tokens=TOKENS)
        pairs: list[tuple[Timing, Timing]] = []
        for number in range(PAIRS):
            prompt = f"Story {number}: tell me about the sea."
            first, second = (replica, instance.port) if number % 2 else (instance.port, replica)
            one, other = stream(first, prompt, tokens=TOKENS), stream(second, prompt, tokens=TOKENS)
            pairs.append((one, other) if number % 2 else (other, one))
    figure(
        "tokens/s through the gateway ÷ directly",
        [through.tokens_per_s / direct.tokens_per_s for direct, through in pairs],
        unit="x",
        at_least=0.99,
        note=f"SmolLM2-135M Q4_1, one stream of {TOKENS} tokens, pairs in turn",
    )
    figure(
        "first token through the gateway, beyond directly",
        [1000 * (through.first_token_s - direct.first_token_s) for direct, through in pairs],
        unit="ms",
        at_most=3,
    )
    figure("tokens/s through the gateway", [through.tokens_per_s for _, through in pairs], unit="tokens/s")
    figure("first token through the gateway", [1000 * through.first_token_s for _, through in pairs], unit="ms")
    if shutil.which("ollama") is None:
        print("Ollama is not installed here: not compared")


if __name__ == "__main__":
    main()
