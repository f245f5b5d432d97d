"""The port of a source of models. Used by control; satisfied by sources.Models and testing.FakeSource."""

from collections.abc import Callable
from typing import Protocol

from bateau.domain.model_file import ModelFile, Progress


class Source(Protocol):
    """Fetches models by reference into a content-addressed cache."""

    def find(self, reference: str) -> ModelFile | None:
        """Return the model if it is on this machine, whole. Uses no network.

        Raises the `SourceError` family.
        """
        ...

    async def verify(self, reference: str) -> bool:
        """Compare a fetched model with its digest. If it differs, remove it and return False.

        Raises the `SourceError` family.
        """
        ...

    async def fetch(self, reference: str, on_progress: Callable[[Progress], None]) -> ModelFile:
        """Return the model; fetch it first if it is not on this machine. Waiters for one reference share one download.

        Raises the `SourceError` family.
        """
        ...
