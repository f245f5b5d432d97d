"""Garbage collections after the start leave out everything that was there before."""

import asyncio
import gc
from types import SimpleNamespace

from bateau.cli.up import freeze_when_settled
from control.world import app, world


async def test_garbage_collections_leave_out_what_exists_after_the_start() -> None:
    """Issue 8: with 1,000 apps, each collection stopped all probes for 0.2 s."""
    async with world(shop=app()) as w:
        try:
            async with asyncio.timeout(10):
                await freeze_when_settled(SimpleNamespace(control=w.control))  # type: ignore[arg-type]
            assert w.status.settled
            assert gc.get_freeze_count() > 0
        finally:
            gc.unfreeze()
