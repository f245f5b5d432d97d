"""Do much work on values that refer to no circles without Python's collector looking through them again and again.

Called by wiring around work that makes many trees and ends.

Invariant: the collector is as it was afterwards, also when the work fails.
"""

import gc
from collections.abc import Generator
from contextlib import contextmanager


@contextmanager
def no_collections() -> Generator[None]:
    """Keep the cyclic collector off. Reference counting goes on: memory is given back as ever."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
