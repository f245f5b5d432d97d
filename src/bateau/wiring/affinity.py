"""Compare requests, and have affinity turned off for a model where requests without it are faster.

Called by wiring.accounts.

Invariant: a decision holds across restarts of the control plane. Held by
tests/wiring/test_affinity.py::test_affinity_that_is_off_stays_off_after_a_restart.
Invariant: a decision is in the traffic of the gateway and in the status, and restarts nothing. Held by
tests/wiring/test_affinity.py and
tests/traffic/test_affinity.py::test_it_is_turned_off_and_on_without_replacing_the_cluster.
"""

import dataclasses
import logging
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from bateau.control.affinity import PAUSE_S, PAUSE_S_MAX, Off
from bateau.control.loop import Control
from bateau.domain.used import Used
from bateau.kit.json_value import JsonObject, object_at, text_at
from bateau.kit.rfc3339 import is_time
from bateau.store.ledger import Ledger
from bateau.store.ledger_reader import Position, end_of
from bateau.store.state_file import StateFile

logger = logging.getLogger(__name__)

_FORMAT: Final = 1


class AffinityWatch:
    """The decisions in `Control.affinity` of one instance. A consumer of the ledger."""

    wrong: str = "affinity is not compared at the moment"
    lines_max: int = 20_000

    def __init__(self, ledger: Ledger, control: Control, file: StateFile) -> None:
        self._ledger = ledger
        self._control = control
        self._file = file
        control.affinity.restore(_decisions(file.load()))
        self._saved = control.affinity.kept()
        self._position: Position | None = None
        self._new: list[Used] = []

    def begin(self, now: float) -> Position | None:
        """Read while a model has several replicas; earlier requests are not compared. Raises OSError."""
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
        """Write the decisions of `decide` if they have changed. Raises ControlError."""
        del now, at_end
        kept = self._control.affinity.kept()
        if kept != self._saved:
            off = {name: dataclasses.asdict(each) for name, each in kept.items()}
            self._file.save({"affinity_format": _FORMAT, "off": off})
            self._saved = kept

    def close(self) -> None:
        """Nothing is left to write: `settle` has written the decisions."""

    def decide(self, now: float) -> None:
        """Compare the new requests, and have decisions take effect. Only in the thread of the loop, which uses them."""
        new, self._new = self._new, []
        affinity, before = self._control.affinity, self._control.affinity.off
        if affinity.follow(new, self._control.traffic.affine.keys(), now):
            for model in sorted(before ^ affinity.off):
                logger.info("affinity of model/%s: %s", model, affinity.status(model, wanted=True).says)
            self._control.wake()


def _decisions(tree: JsonObject) -> Mapping[str, Off]:
    """Return the decisions of a file; none if it is damaged or of another format."""
    if tree.get("affinity_format") != _FORMAT:
        return {}
    return dict(_read(object_at(tree, "off")))


def _read(off: JsonObject) -> Iterator[tuple[str, Off]]:
    for name, row in off.items():
        until, pause_s = object_at(row).get("until"), object_at(row).get("pause_s")
        if is_time(until) and is_time(pause_s) and PAUSE_S <= pause_s <= PAUSE_S_MAX:
            yield name, Off(until=until, pause_s=pause_s, says=text_at(row, "says"))
