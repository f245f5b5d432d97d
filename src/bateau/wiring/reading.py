"""Read and understand specs beside the control plane: files in a thread, expressions in a process of their own.

Made by wiring.local; used by control through control.reading.Reader.

Invariant: a repository of any size delays no probe. Held by tests/wiring/test_reading.py.
"""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, date, datetime

from bateau.control.path import Written, understand
from bateau.ports.texts import Texts
from bateau.wiring.worker import IDLE_S, Worker


class WorkerReader:
    """Satisfies `bateau.control.reading.Reader`. The process is started early, and ends after a while without work."""

    def __init__(self, environment: str | None, variables: Mapping[str, str], *, idle_s: float = IDLE_S) -> None:
        self._environment = environment
        self._variables = dict(variables)
        self._worker = Worker(idle_s=idle_s)

    def start(self) -> None:
        """Start the process, so that it is there when the first specs are read."""
        self._worker.start()

    async def read(self, texts: Texts) -> Mapping[str, str]:
        """Return the content of every spec file. Raises BateauError if the files cannot be read."""
        return await asyncio.to_thread(texts.read)

    async def understood(self, texts: Mapping[str, str], *, today: date) -> Written:
        """Return the texts as read and hydrated. Raises ControlError if the process exits before it is done."""
        return await self._worker.call(_understood, dict(texts), self._environment, self._variables, today)

    def is_sound(self, texts: Mapping[str, str]) -> bool:
        """Whether texts have no errors, today. Blocks: call it from a thread. Raises ControlError as `understood`."""
        today = datetime.fromtimestamp(time.time(), tz=UTC).date()
        return not self._worker.call_here(_understood, dict(texts), self._environment, self._variables, today).wrong

    @property
    def pid(self) -> int | None:
        """The process, None while there is none. Blocks until it has started."""
        return self._worker.pid

    def close(self) -> None:
        """End the process; the next texts get a new one."""
        self._worker.close()


def _understood(
    texts: Mapping[str, str], environment: str | None, variables: Mapping[str, str], today: date
) -> Written:
    # Policies hold compiled expressions, which stay in the process that compiled them; nobody needs them beyond it.
    return replace(understand(texts, environment, variables, today=today), policies=())
