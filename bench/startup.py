"""How long people wait: `--help`, `status`, and from `up` to the first token."""

import shutil
import subprocess
import sys
import time
from pathlib import Path

from bench.instance import Instance
from bench.report import figure
from bench.stream import stream

QUICK_RUNS = 21
UP_RUNS = 5


def main() -> None:
    """Measure and report."""
    script = [str(_script())]
    figure("`bateau --help`", [_seconds([*script, "--help"]) * 1000 for _ in range(QUICK_RUNS)], unit="ms", at_most=150)
    interpreter = [_seconds([sys.executable, "-c", "pass"]) * 1000 for _ in range(QUICK_RUNS)]
    figure("`python -c pass`, the limit of the above", interpreter, unit="ms")
    ups: list[float] = []
    first_tokens: list[float] = []
    for run in range(UP_RUNS):
        with Instance() as instance:
            started = time.perf_counter()
            ups.append(instance.up())
            stream(instance.port, "Hello", tokens=4)
            first_tokens.append(time.perf_counter() - started)
            if run == 0:
                command = [*script, "status"]
                statuses = [_seconds(command, instance.environ) * 1000 for _ in range(QUICK_RUNS)]
                figure("`bateau status`", statuses, unit="ms")
    figure("`bateau up --detach` returns, model in the cache", ups, unit="s")
    figure("`bateau up` to four tokens, model in the cache", first_tokens, unit="s")


def _script() -> str:
    found = shutil.which("bateau", path=str(Path(sys.executable).parent))
    assert found, "bateau is not installed beside this Python"
    return found


def _seconds(command: list[str], environ: dict[str, str] | None = None) -> float:
    started = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True, env=environ)
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
