"""The port for the saved state of a control plane. Satisfied by store.StateFile and testing.FakeMemory."""

from collections.abc import Mapping
from typing import Any, Protocol


class Memory(Protocol):
    """A small tree of plain values that survives kill -9."""

    def load(self) -> dict[str, Any]:
        """Return the tree that was saved last, or an empty dict if none can be read."""
        ...

    def save(self, tree: Mapping[str, Any]) -> None:
        """Replace the saved tree by `tree`, atomically."""
        ...
