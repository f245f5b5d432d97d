"""A ledger, and a feed with one consumer."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Generic, TypeVar

from bateau.store.ledger import Ledger
from bateau.wiring.feed import Consumer, Feed

_Kind = TypeVar("_Kind", bound=Consumer)


class Fed(Generic[_Kind]):
    """A consumer of a ledger, as a control plane has it."""

    def __init__(self, ledger: Ledger, consumer: _Kind) -> None:
        self.consumer = consumer
        self._feed = Feed(ledger, [consumer])

    def turn(self, now: float) -> bool:
        """Have it take its next requests; return whether there are more."""
        return self._feed.turn(now)

    def keep(self, now: float) -> None:
        """Have it take all requests."""
        while self._feed.turn(now):
            pass

    def close(self) -> None:
        """End it in order."""
        self._feed.close()


def opened(base: Path) -> Ledger:
    made = Ledger(base / "usage")
    made.open()
    return made


def write(ledger: Ledger, *lines: Mapping[str, object]) -> None:
    """Write lines as the gateway does."""
    with ledger.path.open("a") as file:
        file.writelines(
            json.dumps({"v": "1", "path": "/v1/completions", "status": 200, **line}) + "\n" for line in lines
        )
