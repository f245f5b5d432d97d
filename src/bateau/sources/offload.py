"""Run a piece of blocking work in a thread, and never leave it behind.

Called by download, partial, wheel and models for disk work that could hold up the event loop.

Invariant: when the call returns or is cancelled the work is over, so its files can be closed. Keep each piece short.
"""

import asyncio
from collections.abc import Callable
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


async def offload(work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Return what `work` returns. A cancelled caller waits for the end of the work before it leaves."""
    task = asyncio.ensure_future(asyncio.to_thread(work, *args, **kwargs))
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])
        if not task.cancelled():
            task.exception()  # looked at, so that asyncio does not report it as never retrieved
        raise
