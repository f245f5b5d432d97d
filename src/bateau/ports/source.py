"""What a source of models offers. Used by control; satisfied by sources.Models and testing.FakeSource."""

from collections.abc import Callable
from typing import Protocol

from bateau.domain.model_file import ModelFile, Progress


class Source(Protocol):
    """Fetches models by reference into a cache by content."""

    def find(self, reference: str) -> ModelFile | None:
        """Return the model if it is here already, without network."""
        ...

    async def fetch(self, reference: str, on_progress: Callable[[Progress], None]) -> ModelFile:
        """Return the model, fetching it first where it is not here. Waiters for one reference share one download.

        Raises the `SourceError` family.
        """
        ...
