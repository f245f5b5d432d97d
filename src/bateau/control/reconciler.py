"""Keep the objects of one owner on a cluster as its texts declare them, for good.

Called by wiring. The loop of a machine is control.loop. On a cluster, placement, ports, restarts and drains are the
cluster's own, so that reading, rendering and reporting remain.

Invariant: texts that cannot be read, or that must not be applied, change no object. Held by
tests/control/test_reconciler.py.
Invariant: a failure, expected or a bug, is reported, retried after a back-off, and ends nothing. Held by
tests/control/test_reconciler.py::test_a_bug_is_reported_and_tried_again.
"""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import Final

from bateau.control.declared import Declared
from bateau.domain.errors import BateauError, bug
from bateau.kit.backoff import Backoff
from bateau.ports.clock import Clock
from bateau.ports.runtime import Observed, Runtime
from bateau.ports.texts import Texts

logger = logging.getLogger(__name__)

# An exception from a policy ends with its day, without any other change.
RESYNC_S: Final = 600.0
_RETRY: Final = Backoff(initial_s=1.0, ceiling_s=60.0)

Declare = Callable[[Mapping[str, str]], Awaitable[Declared]]


class Reconciler:
    """Reads texts, declares units, and gives them to a runtime. `changed` is called whenever anything is new.

    `taken` has the texts of `declared`, and `sound` is the latest one that may be applied. `trouble` has the reason if
    texts could not be read or declared.
    """

    def __init__(
        self, *, name: str, texts: Texts, declare: Declare, runtime: Runtime, clock: Clock, changed: Callable[[], None]
    ) -> None:
        self.name = name
        self._texts = texts
        self._declare = declare
        self._runtime = runtime
        self._clock = clock
        self._changed = changed
        self._stale = asyncio.Event()
        self.taken: Mapping[str, str] = {}
        self.declared: Declared | None = None
        self.sound: Declared | None = None
        self.trouble: str | None = None
        self.reads = 0
        self.failures = 0

    @property
    def observed(self) -> Observed:
        """The state of all objects, as far as it is known now."""
        return self._runtime.observe()

    async def run(self) -> None:
        """Reconcile until cancelled. The objects stay as they are after that."""
        self._runtime.on_change(self._changed)
        await self._runtime.adopt()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._follow(), name=f"follow {self.name}")
            tasks.create_task(self._keep(), name=f"reconcile {self.name}")

    def leave(self, services: Collection[str]) -> None:
        """Leave services as they are, from now until the texts have been declared again, which happens soon."""
        if self.declared is not None and self.declared.wrong is None:
            units = [each for each in self.declared.units if each.key not in services]
            self._runtime.apply(units, held={*self.declared.refused, *services})
        self._stale.set()

    async def close(self) -> None:
        """Release everything, without changing any object."""
        await self._runtime.close()

    async def _keep(self) -> None:
        failures = 0
        while True:
            self._stale.clear()
            try:
                await self._turn()
                failures, self.trouble = 0, None
            except Exception as error:  # noqa: BLE001 - `_note` logs it
                failures += 1
                self._note(error)
            self._changed()
            pause = _RETRY.delay_s(failures, seed=self.name) if failures else RESYNC_S
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._stale.wait()

    async def _turn(self) -> None:
        texts = await asyncio.to_thread(self._texts.read)
        declared = await self._declare(texts)
        self.reads += 1
        if declared.wrong and (self.declared is None or self.declared.wrong != declared.wrong):
            logger.error("%s: %s", self.name, declared.wrong)
        self.taken, self.declared = texts, declared
        if declared.wrong is None:
            self.sound = declared
            self._runtime.apply(declared.units, held=declared.refused.keys())

    async def _follow(self) -> None:
        failures = 0
        while True:
            try:
                async for _ in self._texts.changes():
                    failures = 0
                    self._stale.set()
            except Exception as error:  # noqa: BLE001 - `_note` logs it
                failures += 1
                self._note(error)
            await asyncio.sleep(_RETRY.delay_s(max(1, failures), seed=self.name))

    def _note(self, error: Exception) -> None:
        self.failures += 1
        if isinstance(error, BateauError):
            says = f"{error.message} ({error.hint})" if error.hint else error.message
            if says != self.trouble:
                logger.error("%s: %s", self.name, says)
        else:
            says = f"{bug(error)}; the log has the details"
            if says != self.trouble:
                logger.error("%s: %s", self.name, says, exc_info=error)
        self.trouble = says
