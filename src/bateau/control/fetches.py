"""Fetch the models that services need, and report the progress of each fetch.

Called by control.blocked and control.loop. It runs at every turn, with the references that are wanted now.

Invariant: any error of a fetch, expected or a bug, is recorded as its failure and does not affect other fetches. Held
by tests/control/test_fetches.py::test_a_bug_in_a_fetch_fails_one_service_and_is_retried_with_back_off.
Invariant: a failure that time or another file can fix is retried with back-off; one that only another spec can fix is
not retried until the specs change. Held by tests/control/test_fetches.py.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from bateau.domain.errors import DiskFull, SourceError, SourceUnreachable, bug
from bateau.domain.model_file import ModelFile, Progress
from bateau.kit.backoff import Backoff
from bateau.ports.clock import Clock
from bateau.ports.source import Source

logger = logging.getLogger(__name__)

_RETRY = Backoff(initial_s=5.0, ceiling_s=60.0)


@dataclass
class FetchFailure:
    """The reason why a model is not on this machine. `retry_at` is in monotonic seconds, or None: not retried."""

    says: str
    retry_at: float | None


class Fetches:
    """The fetches of one control plane: one task for each wanted model that is not on this machine."""

    def __init__(self, source: Source, clock: Clock, wake: Callable[[], None]) -> None:
        self._source = source
        self._clock = clock
        self._wake = wake
        self._files: dict[str, ModelFile] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._cancelled: set[asyncio.Task[None]] = set()
        self._doubted: dict[str, ModelFile] = {}
        self._verifying: set[asyncio.Task[None]] = set()
        self._tries: dict[str, int] = {}
        self._bytes_seen: dict[str, int] = {}
        self.progress: dict[str, Progress] = {}
        self.failures: dict[str, FetchFailure] = {}

    def here(self, references: Mapping[str, str]) -> Mapping[str, ModelFile]:
        """Return the models on this machine by service key. Starts no fetch."""
        return {key: file for key, reference in references.items() if (file := self._here(reference))}

    def follow(self, references: Mapping[str, str]) -> Mapping[str, ModelFile]:
        """Return the models on this machine by service key, and start a fetch for each of the others."""
        wanted = set(references.values())
        for reference in set(self._tasks) - wanted:
            task = self._tasks.pop(reference)
            self.progress.pop(reference, None)
            task.cancel()
            self._cancelled.add(task)
            task.add_done_callback(self._cancelled.discard)
        # Looked up again each time, because a file may have been removed from the cache.
        self._files = {
            reference: file for reference in self._files if reference in wanted and (file := self._here(reference))
        }
        for reference in wanted - set(self._files) - set(self._tasks):
            self._look(reference)
        return {key: self._files[reference] for key, reference in references.items() if reference in self._files}

    def doubt(self, references: Iterable[str]) -> None:
        """Verify the digests of models that a replica failed to run. Each file is verified once."""
        for reference in references:
            file = self._files.get(reference)
            if file is not None and self._doubted.get(reference) != file:
                self._doubted[reference] = file
                task = asyncio.create_task(self._verify(reference))
                self._verifying.add(task)
                task.add_done_callback(self._verifying.discard)

    def is_fetching(self, reference: str) -> bool:
        """Whether a model is being fetched."""
        return reference in self._tasks

    def forget_failures(self) -> None:
        """Retry every failed fetch at the next turn, because the specs have changed."""
        self.failures.clear()
        self._tries.clear()

    def retries_in(self) -> Iterable[float]:
        """Return the seconds until each retry."""
        now = self._clock.monotonic()
        return [f.retry_at - now for f in self.failures.values() if f.retry_at is not None]

    async def close(self) -> None:
        """Cancel every fetch. The next fetch continues with the bytes that have arrived."""
        tasks = [*self._tasks.values(), *self._cancelled, *self._verifying]
        for task in tasks:
            task.cancel()
        for task in tasks:
            with contextlib.suppress(asyncio.CancelledError):
                await task

    def _here(self, reference: str) -> ModelFile | None:
        try:
            return self._source.find(reference)
        except Exception:  # noqa: BLE001 - `_look` reports the reason
            return None

    def _look(self, reference: str) -> None:
        failure = self.failures.get(reference)
        if failure and (failure.retry_at is None or failure.retry_at > self._clock.monotonic()):
            return
        try:
            found = self._source.find(reference)
        except Exception as error:  # noqa: BLE001 - a bug with one model must not affect the others
            # Retried, because a lookup costs no network and the user may copy the file there.
            self._fail(reference, error, retry=True)
            return
        if found:
            self._files[reference] = found
            self._forget(reference)
        else:
            self._tasks[reference] = asyncio.create_task(self._fetch(reference))

    async def _verify(self, reference: str) -> None:
        try:
            if not await self._source.verify(reference):
                self._wake()
        except SourceError as error:
            logger.error("a model cannot be verified: %s", error.message)
        except Exception as error:
            logger.error("a model cannot be verified: this is a bug in bateau", exc_info=error)

    async def _fetch(self, reference: str) -> None:
        try:
            self._files[reference] = await self._source.fetch(reference, self._on_progress)
            self._forget(reference)
        except Exception as error:  # noqa: BLE001 - as above
            self._fail(reference, error)
        finally:
            if self._tasks.get(reference) is asyncio.current_task():
                self.progress.pop(reference, None)
                self._tasks.pop(reference)
            self._wake()

    def _on_progress(self, progress: Progress) -> None:
        reference = progress.reference
        first = reference not in self.progress
        self.progress[reference] = progress
        if first:
            # Turns that show the progress follow one another from here on. Without this one, nothing starts them.
            self._wake()
        if progress.bytes_done > self._bytes_seen.get(reference, 0):
            # These bytes are new, so the cause of the earlier failures is gone.
            self._forget(reference)
            self._bytes_seen[reference] = progress.bytes_done

    def _forget(self, reference: str) -> None:
        self.failures.pop(reference, None)
        self._tries.pop(reference, None)
        self._bytes_seen.pop(reference, None)

    def _fail(self, reference: str, error: Exception, *, retry: bool = False) -> None:
        if isinstance(error, SourceError):
            says = f"{error.message} ({error.hint})" if error.hint else error.message
        else:
            says = f"{bug(error)} (see the control plane's log)"
        before = self.failures.get(reference)
        if before is None or before.says != says:
            # Not the reference: it may hold credentials. The message has it without them.
            is_bug = not isinstance(error, SourceError)
            logger.error("a model cannot be fetched: %s", says, exc_info=error if is_bug else None)
        retry_at = None
        if retry or not isinstance(error, SourceError) or isinstance(error, SourceUnreachable | DiskFull):
            self._tries[reference] = self._tries.get(reference, 0) + 1
            asked_s = error.retry_after_s if isinstance(error, SourceUnreachable) else None
            retry_at = self._clock.monotonic() + max(_RETRY.delay_s(self._tries[reference]), asked_s or 0.0)
        self.failures[reference] = FetchFailure(says=says, retry_at=retry_at)
