"""Run allocation-heavy work without Python's cyclic collector, which would scan the new values again and again.

Called by wiring.packing. It wraps work that makes many trees without reference cycles, and then ends.

Invariant: the collector's state is restored afterwards, even if the work fails. Held by tests/kit/test_garbage.py.
"""

import gc
from collections.abc import Generator
from contextlib import contextmanager


@contextmanager
def no_collections() -> Generator[None]:
    """Disable the cyclic collector. Reference counting continues to free memory."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
