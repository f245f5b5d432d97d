"""Two versions of Bateau side by side: `python -m bench.versions OTHER_CHECKOUT` (with its own .venv).

Each command runs in turn with this version and the other one, so that a busy moment of the machine falls on both. A
ratio below 1 means that this version takes less. Run it by hand before a large change lands.
"""

import contextlib
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import psutil

from bateau.wiring.listen import free_port
from bench.charts import write as write_charts
from bench.delivery import specs
from bench.instance import SPEC
from bench.whole import laid_out

RUNS = 5
_SAMPLE_S = 0.01
HERE = Path(__file__).parent.parent
IDLE_WINDOWS = 5
IDLE_WINDOW_S = 12.0


@dataclass(frozen=True, slots=True)
class Cost:
    """What one command took: CPU in seconds with everything it started, the most memory in MB of all its processes."""

    cpu: float
    memory: float


def main() -> None:
    """Measure and report."""
    if len(sys.argv) != 2:
        sys.exit("usage: python -m bench.versions OTHER_CHECKOUT")
    # As in bench.__main__: an installed package has its modules compiled.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    other = Path(sys.argv[1]).resolve()
    acme = HERE / "examples" / "acme"
    for name, command in (
        ("--help", ["--help"]),
        ("check of examples/acme", ["check"]),
        ("render of examples/acme", ["render", "prod", "--no-cache"]),
        ("explain of a field", ["explain", "shop", "spec.replicas", "--env", "prod"]),
    ):
        _compare(name, command, acme, other)
    with laid_out(specs(1000)) as directory:
        _compare("render of 1,000 services for one environment", ["render", "e1", "--no-cache"], directory, other)
    with tempfile.TemporaryDirectory() as folder:
        write_charts(Path(folder), 4)
        _compare("check of 10 charts", ["check"], Path(folder), other, runs=2)
    _compare_idle(other)


def _compare(name: str, command: Sequence[str], directory: Path, other: Path, *, runs: int = RUNS) -> None:
    pairs = [
        (_cost(_typed(HERE, command), directory), _cost(_typed(other, command), directory)) for _ in range(runs + 1)
    ]
    pairs = pairs[1:]  # the first run compiles modules and fills caches
    _ratios(f"{name}, CPU", [new.cpu / old.cpu for new, old in pairs])
    _ratios(f"{name}, memory", [new.memory / old.memory for new, old in pairs])


def _typed(root: Path, command: Sequence[str]) -> list[str]:
    """Return the command as this version has it: the environment of `render` was an argument once."""
    program = [str(root / ".venv" / "bin" / "bateau"), *command]
    if command[0] == "render":
        told = subprocess.run([program[0], "render", "--help"], check=True, capture_output=True, text=True).stdout
        if "--env" in told:
            program[2:3] = ["--env", command[1]]
    return program


def _cost(command: Sequence[str], directory: Path) -> Cost:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    with tempfile.TemporaryFile() as told, tempfile.TemporaryFile() as nothing:
        process = psutil.Popen(command, cwd=directory, stdout=nothing, stderr=told)
        memory = 0.0
        while process.poll() is None:
            # Not ru_maxrss: it begins with the size of this program, from which the command was forked.
            with contextlib.suppress(psutil.Error):
                used = [each.memory_info().rss for each in (process, *process.children(recursive=True))]
                memory = max(memory, sum(used) / 1e6)
            time.sleep(_SAMPLE_S)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        if process.returncode != 0:
            told.seek(0)
            sys.exit(f"{' '.join(command)} in {directory}: exit code {process.returncode}\n{told.read().decode()}")
    return Cost(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, memory)


class _Running:
    """An instance of one version that serves one model."""

    def __init__(self, root: Path, base: Path) -> None:
        self._bateau = root / ".venv" / "bin" / "bateau"
        self._environ = {**os.environ, "XDG_STATE_HOME": str(base / "state"), "XDG_RUNTIME_DIR": str(base / "run")}
        for folder in ("specs", "run", "state"):
            (base / folder).mkdir(mode=0o700, parents=True)
        (base / "specs" / "chat.yaml").write_text(SPEC)
        # The directory was an argument of `up` once; the working directory means the same to all versions.
        self._run("up", "--detach", "--listen", str(free_port()), cwd=base / "specs")
        self.control = psutil.Process(int(json.loads(self._run("status", "--json"))["pid"]))

    def _run(self, *arguments: str, cwd: Path | None = None) -> str:
        command = [self._bateau, *arguments]
        return subprocess.run(command, cwd=cwd, env=self._environ, check=True, capture_output=True, text=True).stdout

    def cpu(self) -> float:
        """Seconds of CPU that the control plane has taken."""
        times = self.control.cpu_times()
        return times.user + times.system

    def down(self) -> None:
        """Stop everything."""
        self._run("down")


def _compare_idle(other: Path) -> None:
    """Both control planes serve the same model at the same time, and nothing happens."""
    shares: list[float] = []
    sizes: list[float] = []
    with tempfile.TemporaryDirectory(dir="/tmp") as folder, ExitStack() as stack:
        new, old = (_Running(root, Path(folder) / name) for root, name in ((HERE, "new"), (other, "old")))
        stack.callback(old.down)
        stack.callback(new.down)
        time.sleep(3)  # what happens after a start is not idle
        for _ in range(IDLE_WINDOWS):
            before = new.cpu(), old.cpu()
            time.sleep(IDLE_WINDOW_S)
            shares.append((new.cpu() - before[0]) / max(old.cpu() - before[1], 0.01))
            sizes.append(new.control.memory_info().rss / old.control.memory_info().rss)
    _ratios("control plane idle, CPU", shares)
    _ratios("control plane idle, resident memory", sizes)


def _ratios(what: str, values: Sequence[float]) -> None:
    print(f"{what}: {statistics.median(values):.3f} ({min(values):.3f} … {max(values):.3f}, {len(values)} pairs)")


if __name__ == "__main__":
    main()
