"""Keep what the cluster of a controller offers for accelerators, and read it again now and then.

Called by wiring.controller.

Invariant: an offer that was seen once stays until the controller ends: the upgrade of a driver, or a node pool without
nodes, restarts no model. Held by tests/wiring/test_offers.py.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Final

from bateau.domain.errors import ClusterError
from bateau.domain.offers import Offers
from bateau.ports.clock import Clock

logger = logging.getLogger(__name__)

# Shorter than the time after which texts are declared again without a change, so that each time reads it again.
AGAIN_S: Final = 540.0


class KnownOffers:
    """The offers of one cluster; `read` asks the API server."""

    def __init__(self, read: Callable[[], Awaitable[Offers]], clock: Clock) -> None:
        self._read = read
        self._clock = clock
        self._known: Offers | None = None
        self._at_s = 0.0
        self._reading = asyncio.Lock()

    async def now(self) -> Offers:
        """Return the offers, at most 9 minutes old. Raises ClusterError if they were never read."""
        async with self._reading:
            now = self._clock.monotonic()
            if self._known is None or now - self._at_s >= AGAIN_S:
                self._known = await self._again()
                self._at_s = now
            return self._known

    async def _again(self) -> Offers:
        known = self._known
        try:
            found = (await self._read()).kept(known)
        except ClusterError as error:
            if known is None:
                raise
            logger.warning("the accelerators that the cluster offers were not read again: %s", error.message)
            return known
        if known is not None and found != known:
            logger.info("the cluster offers other accelerators now: %s", found)
        return found
