"""The whole way from specs to manifests, timed: read, hydrate, render, schemas, rules, write.

Used by bench.delivery and bench.growth.
"""

import gc
import time
from collections.abc import Mapping

from bateau.control.delivery import Rules, deliver
from bateau.kit.yaml_writer import write
from bateau.specs import read


def whole(texts: Mapping[str, str], rules: Rules, *, environments: int) -> float:
    """Return the seconds it takes for the environments `e0`, `e1`, … of `bench.delivery.specs`."""
    gc.collect()
    started = time.perf_counter()
    reading = read(texts)
    for number in range(environments):
        found = deliver(reading, f"e{number}", rules)
        assert not found.wrong, (found.written.problems[:1], found.findings[:1])
        write(manifest.tree for manifest in found.manifests)
    return time.perf_counter() - started
