"""The whole way from files to bundles, timed: read, hydrate, render, schemas, rules, digests, compress.

Used by bench.delivery and bench.growth.
"""

import gc
import tempfile
import threading
import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

import psutil

from bateau.wiring.packing import Packer
from bateau.wiring.question import Question

_SAMPLE_S = 0.02


@contextmanager
def laid_out(texts: Mapping[str, str]) -> Generator[Path]:
    """Give a directory with these files."""
    with tempfile.TemporaryDirectory() as folder:
        top = Path(folder)
        for name, text in texts.items():
            path = top / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        yield top


def bundled(directory: Path, cache: Path, environments: Sequence[str]) -> float:
    """Return the seconds from files to a bundle for each environment, with what `cache` holds of earlier runs."""
    gc.collect()
    started = time.perf_counter()
    with closing(Packer(Question(directory=directory, environment=None), cache=cache)) as packer:
        for packed in packer.packed(environments):
            assert not packed.wrong, (packed.problems[:1], packed.findings[:1])
            packer.bundle(packed)
    return time.perf_counter() - started


@contextmanager
def peak_memory() -> Generator[list[float]]:
    """Give a list that in the end holds the most memory in MB of this process and its children, shared pages once."""
    peak = [0.0]
    done = threading.Event()

    def watch() -> None:
        own = psutil.Process()
        while not done.is_set():
            used = 0
            for process in (own, *own.children(recursive=True)):
                try:
                    used += process.memory_full_info().pss
                except psutil.Error:
                    continue
            peak[0] = max(peak[0], used / 1e6)
            done.wait(_SAMPLE_S)

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield peak
    finally:
        done.set()
        watcher.join()
