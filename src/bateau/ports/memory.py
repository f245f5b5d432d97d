"""The port for the saved state of a control plane. Satisfied by store.StateFile and testing.FakeMemory."""

from typing import Protocol

from bateau.kit.json_value import JsonObject, ReadObject


class Memory(Protocol):
    """A small tree of plain values that survives kill -9."""

    def load(self) -> JsonObject:
        """Return the tree that was saved last, or an empty dict if none can be read."""
        ...

    def save(self, tree: ReadObject) -> None:
        """Replace the saved tree by `tree`, atomically."""
        ...
