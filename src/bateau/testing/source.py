"""A source of models without a network: a fetch waits until the test completes it or lets it fail.

Invariant: `find` does not return a model before it has arrived. Held by tests/ports/test_fakes.py.
"""

import asyncio
from collections.abc import Callable
from pathlib import PurePath

from bateau.domain.model_file import ModelFile, ModelHeader, ModelTask, Progress


class FakeSource:
    """Satisfies `bateau.ports.source.Source`.

    `files` has the models on this machine, by reference; `failures` the error that the next fetches of a reference
    raise at once; `unfindable` the error that `find` raises for a reference; `damaged` the references that `verify`
    finds damaged; `fetched` and `verified` every started fetch and verification, in order. Any other fetch waits until
    `arrive` or `fail`.
    """

    def __init__(self, *here: str) -> None:
        self.files: dict[str, ModelFile] = {reference: model_file(reference) for reference in here}
        self.failures: dict[str, Exception] = {}
        self.unfindable: dict[str, Exception] = {}
        self.damaged: set[str] = set()
        self.fetched: list[str] = []
        self.verified: list[str] = []
        self._waiting: dict[str, asyncio.Future[ModelFile]] = {}
        self._reports: dict[str, Callable[[Progress], None]] = {}

    def find(self, reference: str) -> ModelFile | None:
        """Return the model if the test has added it. Raises the error that the test has set."""
        if reference in self.unfindable:
            raise self.unfindable[reference]
        return self.files.get(reference)

    async def verify(self, reference: str) -> bool:
        """Return whether the model is sound; one in `damaged` is gone afterwards."""
        self.verified.append(reference)
        if reference not in self.damaged:
            return True
        self.damaged.discard(reference)
        del self.files[reference]
        return False

    async def fetch(self, reference: str, on_progress: Callable[[Progress], None]) -> ModelFile:
        """Wait for the model. Raises the error that the test has set."""
        self.fetched.append(reference)
        if reference in self.failures:
            raise self.failures[reference]
        if reference in self.files:
            return self.files[reference]
        self._reports[reference] = on_progress
        on_progress(Progress(reference=reference, bytes_done=0, bytes_total=None))
        arrival = self._waiting.setdefault(reference, asyncio.get_running_loop().create_future())
        return await asyncio.shield(arrival)

    def report(self, reference: str, bytes_done: int) -> None:
        """Report progress of a waiting fetch."""
        self._reports[reference](Progress(reference=reference, bytes_done=bytes_done, bytes_total=None))

    def arrive(self, reference: str, file: ModelFile | None = None) -> None:
        """Add a model, and complete the fetches that wait for it."""
        self.files[reference] = file or model_file(reference)
        if waiting := self._waiting.pop(reference, None):
            waiting.set_result(self.files[reference])

    def fail(self, reference: str, error: Exception) -> None:
        """Let the waiting fetch fail, and every later fetch."""
        self.failures[reference] = error
        if waiting := self._waiting.pop(reference, None):
            waiting.set_exception(error)


def model_file(
    reference: str,
    *,
    size_bytes: int = 100 * 2**20,
    context_length_trained: int | None = 2048,
    kv_bytes_per_token: int | None = 23_040,
    task: ModelTask = "generate",
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
            task=task,
        ),
    )
