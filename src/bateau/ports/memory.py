"""What the control plane remembers between two lives. Satisfied by store.StateFile and testing.FakeMemory."""

from collections.abc import Mapping
from typing import Any, Protocol


class Memory(Protocol):
    """A small tree of plain values that survives kill -9."""

    def load(self) -> dict[str, Any]:
        """Return what was saved last, or an empty dict where there is nothing readable."""
        ...

    def save(self, tree: Mapping[str, Any]) -> None:
        """Keep `tree` instead of what was kept before; all of it or nothing."""
        ...
