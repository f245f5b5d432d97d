"""A source of models without network: a fetch waits until the test lets it arrive or fail.

Invariant: what has not arrived is not found.
"""

import asyncio
from collections.abc import Callable
from pathlib import PurePath

from bateau.domain.errors import SourceError
from bateau.domain.model_file import ModelFile, ModelHeader, Progress


class FakeSource:
    """Satisfies `bateau.ports.source.Source`.

    `files` holds what is here, by reference; `failures` the error that the next fetches of a reference raise at once;
    `fetched` every fetch that began, in order. A reference in neither is on its way until `arrive` or `fail`.
    """

    def __init__(self, *here: str) -> None:
        self.files: dict[str, ModelFile] = {reference: model_file(reference) for reference in here}
        self.failures: dict[str, SourceError] = {}
        self.fetched: list[str] = []
        self._waiting: dict[str, asyncio.Future[ModelFile]] = {}

    def find(self, reference: str) -> ModelFile | None:
        """Return the model if the test has put it here."""
        return self.files.get(reference)

    async def fetch(self, reference: str, on_progress: Callable[[Progress], None]) -> ModelFile:
        """Wait for the model. Raises the SourceError that the test has set."""
        self.fetched.append(reference)
        if reference in self.failures:
            raise self.failures[reference]
        if reference in self.files:
            return self.files[reference]
        on_progress(Progress(reference=reference, bytes_done=0, bytes_total=None))
        arrival = self._waiting.setdefault(reference, asyncio.get_running_loop().create_future())
        return await asyncio.shield(arrival)

    def arrive(self, reference: str, file: ModelFile | None = None) -> None:
        """Let a model be here from now on, for those who wait for it as well."""
        self.files[reference] = file or model_file(reference)
        if waiting := self._waiting.pop(reference, None):
            waiting.set_result(self.files[reference])

    def fail(self, reference: str, error: SourceError) -> None:
        """Let a fetch that is on its way fail, and those after it."""
        self.failures[reference] = error
        if waiting := self._waiting.pop(reference, None):
            waiting.set_exception(error)


def model_file(
    reference: str,
    *,
    size_bytes: int = 100 * 2**20,
    context_length_trained: int | None = 2048,
    kv_bytes_per_token: int | None = 23_040,
) -> ModelFile:
    """Return a small chat model's file."""
    return ModelFile(
        reference=reference,
        path=PurePath("/models") / f"{reference.replace('/', '-')}.gguf",
        size_bytes=size_bytes,
        sha256=None,
        header=ModelHeader(
            architecture="llama",
            name=reference,
            context_length_trained=context_length_trained,
            kv_bytes_per_token=kv_bytes_per_token,
            chat_template=True,
            embedding=False,
        ),
    )
