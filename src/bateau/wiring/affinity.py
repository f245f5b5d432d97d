"""Compare requests, and have affinity turned off for a model where requests without it are faster.

Called by wiring.chores.

Invariant: a decision is in the traffic of the gateway and in the status, and restarts nothing. Held by
tests/wiring/test_affinity.py and
tests/traffic/test_affinity.py::test_it_is_turned_off_and_on_without_replacing_the_cluster.
"""

import logging
from collections.abc import Sequence
from typing import Final

from bateau.control.loop import Control
from bateau.domain.used import Used
from bateau.store.ledger import Ledger
from bateau.store.ledger_reader import Position, end_of

logger = logging.getLogger(__name__)


class AffinityWatch:
    """The decisions in `Control.affinity` of one instance. A consumer of the ledger."""

    wrong: Final = "affinity is not compared at the moment"
    lines_max: Final = 20_000

    def __init__(self, ledger: Ledger, control: Control) -> None:
        self._ledger = ledger
        self._control = control
        self._position: Position | None = None
        self._new: list[Used] = []

    def begin(self, now: float) -> Position | None:
        """Read while a model has several replicas; what was used before that is not compared. Raises OSError."""
        del now
        replicas = self._control.traffic.affine.values()
        if not self._control.affinity.is_available or not any(number > 1 for number in replicas):
            self._position = None
        elif self._position is None:
            self._position = end_of(self._ledger)
        return self._position

    def take(self, requests: Sequence[Used], position: Position) -> None:
        """Note requests, for `decide`."""
        self._position = position
        self._new += requests

    def settle(self, now: float, *, at_end: bool) -> None:
        """Nothing is done here: `decide` is called in the thread of the loop, which uses the decisions."""

    def close(self) -> None:
        """Nothing is kept."""

    def decide(self, now: float) -> None:
        """Compare the new requests, and have decisions take effect."""
        new, self._new = self._new, []
        affinity, before = self._control.affinity, self._control.affinity.off
        if affinity.follow(new, self._control.traffic.affine.keys(), now):
            for model in sorted(before ^ affinity.off):
                logger.info("affinity of model/%s: %s", model, affinity.status(model, wanted=True).says)
            self._control.wake()
