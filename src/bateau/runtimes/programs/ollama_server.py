"""Serve one replica of a model by Ollama: start its server, pull the model, and give it the name that clients use.

Run by the local runtime as `python -m bateau.runtimes.programs.ollama_server` where the program `ollama` is installed.
Source: Ollama's documentation of `ollama serve`, `pull` and `cp`.

The server ends with this process, in the same session.
"""

import argparse
import os
import signal
import subprocess
import sys
import time
from types import FrameType

_START_S = 30.0
_POLL_S = 0.1


def main() -> int:
    """Serve until SIGTERM."""
    options = _parser().parse_args()
    environment = {**os.environ, "OLLAMA_HOST": f"127.0.0.1:{options.port}"}
    server = subprocess.Popen([options.program, "serve"], env=environment)

    def end(_number: int, _frame: FrameType | None) -> None:
        server.terminate()

    signal.signal(signal.SIGTERM, end)
    deadline = time.monotonic() + _START_S
    while subprocess.run([options.program, "list"], env=environment, capture_output=True, check=False).returncode:
        if server.poll() is not None or time.monotonic() > deadline:
            print(f"`ollama serve` ended, or did not become ready within {_START_S:g} s", file=sys.stderr)
            server.terminate()
            return 1
        time.sleep(_POLL_S)
    for step in (["pull", options.model], ["cp", options.model, options.alias]):
        if subprocess.run([options.program, *step], env=environment, check=False).returncode:
            print(f"ollama {' '.join(step)} failed", file=sys.stderr)
            server.terminate()
            return 1
    return server.wait()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="bateau-ollama-server", description=__doc__)
    parser.add_argument("--program", required=True, help="path of ollama")
    parser.add_argument("--model", required=True, help="model in Ollama's registry")
    parser.add_argument("--alias", required=True, help="name that clients use")
    parser.add_argument("--port", required=True, help="loopback port")
    return parser


if __name__ == "__main__":
    sys.exit(main())
