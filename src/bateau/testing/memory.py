"""The saved state of a control plane, in a value that a test can pass to the next control plane.

Invariant: `load` returns a copy, as from a disk: changing it does not change the saved state. Held by
tests/ports/test_fakes.py.
"""

import json

from bateau.domain.errors import ControlError
from bateau.kit.json_value import JsonObject, ReadObject


class FakeMemory:
    """Satisfies `bateau.ports.memory.Memory`. Like the real one, it stores only JSON values. `full` makes `save` fail.

    >>> memory = FakeMemory()
    >>> memory.save({"ports": {"app/shop/http": 2000}})
    >>> memory.load()
    {'ports': {'app/shop/http': 2000}}
    """

    def __init__(self) -> None:
        self._kept = "{}"
        self.saves = 0
        self.full = False

    def load(self) -> JsonObject:
        """Return the tree that was saved last."""
        loaded: JsonObject = json.loads(self._kept)
        return loaded

    def save(self, tree: ReadObject) -> None:
        """Replace the saved tree by `tree`. Raises ControlError while `full` is set."""
        if self.full:
            raise ControlError("cannot write control.json: No space left on device", hint="free some space")
        self._kept = json.dumps(tree)
        self.saves += 1
