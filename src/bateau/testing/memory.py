"""What a control plane remembers, kept in a value that a test can hand to the next control plane.

Invariant: what is loaded is a copy, as from a disk: changing it changes nothing that is kept.
"""

import json
from collections.abc import Mapping
from typing import Any


class FakeMemory:
    """Satisfies `bateau.ports.memory.Memory`. Like the real one it keeps only what JSON can hold.

    >>> memory = FakeMemory()
    >>> memory.save({"ports": {"app/shop/http": 2000}})
    >>> memory.load()
    {'ports': {'app/shop/http': 2000}}
    """

    def __init__(self) -> None:
        self._kept = "{}"
        self.saves = 0

    def load(self) -> dict[str, Any]:
        """Return what was saved last."""
        loaded: dict[str, Any] = json.loads(self._kept)
        return loaded

    def save(self, tree: Mapping[str, Any]) -> None:
        """Keep `tree` instead of what was kept before."""
        self._kept = json.dumps(tree)
        self.saves += 1
