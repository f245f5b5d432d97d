"""Follow the ledger, and have affinity turned off for a model where requests without it are faster.

Called by wiring.chores.

Invariant: a decision is in the traffic of the gateway and in the status, and restarts nothing. Held by
tests/wiring/test_affinity.py and
tests/traffic/test_affinity.py::test_it_is_turned_off_and_on_without_replacing_the_cluster.
"""

import asyncio
import logging
from collections.abc import Sequence

from bateau.control.loop import Control
from bateau.domain.used import Used
from bateau.store.ledger import Ledger, Tail

logger = logging.getLogger(__name__)


class AffinityWatch:
    """The ledger of one instance, for the decisions in `Control.affinity`."""

    def __init__(self, ledger: Ledger, control: Control) -> None:
        self._ledger = ledger
        self._control = control
        self._tail: Tail | None = None

    async def keep(self, now: float) -> None:
        """Compare the requests that are new in the ledger, and have decisions take effect. Raises OSError."""
        affinity, replicas = self._control.affinity, self._control.traffic.affine
        compares = affinity.is_available and any(number > 1 for number in replicas.values())
        if not compares:
            self.close()
        new = await asyncio.to_thread(self._new) if compares else ()
        before = affinity.off
        if affinity.follow(new, replicas.keys(), now):
            for model in sorted(before ^ affinity.off):
                logger.info("affinity of model/%s: %s", model, affinity.status(model, wanted=True).says)
            self._control.wake()

    def close(self) -> None:
        """Close the ledger; the requests until it is followed again are not compared."""
        if self._tail:
            self._tail.close()
        self._tail = None

    def _new(self) -> Sequence[Used]:
        self._tail = self._tail or Tail(self._ledger, from_now=True)
        return list(self._tail.new())
