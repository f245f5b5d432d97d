"""Read and understand specs beside the control plane: files in a thread, expressions in a process of their own.

Made by wiring.local; used by control through control.reading.Reader.

Invariant: a repository of any size delays no probe. An expression that crashes its process does not end the control
plane: the crash is reported as an error, and the next attempt uses a new process. Held by tests/wiring/test_reading.py.
Refused: threads for the evaluation; they hold the interpreter's lock, and a crash in native code ends everything.
"""

import asyncio
import ctypes
import os
import signal
import time
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from datetime import UTC, date, datetime
from multiprocessing import get_context

from bateau.control.path import Written, understand
from bateau.domain.errors import ControlError
from bateau.ports.texts import Texts

_PR_SET_PDEATHSIG = 1  # prctl(2)
IDLE_S = 60.0
_ENDED = "the process that evaluates the specs exited before it was done"
_ENDED_HINT = "an expression may have crashed it: undo the last change; the evaluation is retried"


class WorkerReader:
    """Satisfies `bateau.control.reading.Reader`. The process is started early, and ends after a while without work."""

    def __init__(self, environment: str | None, variables: Mapping[str, str], *, idle_s: float = IDLE_S) -> None:
        self._environment = environment
        self._variables = dict(variables)
        self._idle_s = idle_s
        self._pool: ProcessPoolExecutor | None = None
        self._idle: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Start the process, so that it is there when the first specs are read."""
        self._worker().submit(os.getpid)

    async def read(self, texts: Texts) -> Mapping[str, str]:
        """Return the content of every spec file. Raises BateauError if the files cannot be read."""
        return await asyncio.to_thread(texts.read)

    async def understood(self, texts: Mapping[str, str], *, today: date) -> Written:
        """Return the texts as read and hydrated. Raises ControlError if the process exits before it is done."""
        if self._idle:
            self._idle.cancel()
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(
                self._worker(), _understood, dict(texts), self._environment, self._variables, today
            )
        except BrokenProcessPool as error:
            self.close()
            raise ControlError(_ENDED, hint=_ENDED_HINT) from error
        finally:
            self._idle = loop.call_later(self._idle_s, self.close)

    def is_sound(self, texts: Mapping[str, str]) -> bool:
        """Whether texts have no errors, today. Blocks: call it from a thread. Raises ControlError as `understood`."""
        today = datetime.fromtimestamp(time.time(), tz=UTC).date()
        try:
            asked = self._worker().submit(_understood, dict(texts), self._environment, self._variables, today)
            return not asked.result().wrong
        except BrokenProcessPool as error:
            self._pool = None
            raise ControlError(_ENDED, hint=_ENDED_HINT) from error

    @property
    def pid(self) -> int | None:
        """The process, None while there is none. Blocks until it has started."""
        return self._pool.submit(os.getpid).result() if self._pool else None

    def close(self) -> None:
        """End the process; the next texts get a new one."""
        pool, self._pool = self._pool, None
        if self._idle:
            self._idle.cancel()
            self._idle = None
        if pool:
            pool.shutdown(wait=False, cancel_futures=True)

    def _worker(self) -> ProcessPoolExecutor:
        if self._pool is None:
            # Spawned and not forked: it inherits no lock, no socket and no thread of the control plane.
            self._pool = ProcessPoolExecutor(1, mp_context=get_context("spawn"), initializer=_begin)
        return self._pool


def _begin() -> None:
    """Leave signals to the control plane, and exit when it exits, for any reason."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() == 1:  # the control plane ended before the prctl call
        os._exit(0)


def _understood(
    texts: Mapping[str, str], environment: str | None, variables: Mapping[str, str], today: date
) -> Written:
    # Policies hold compiled expressions, which stay in the process that compiled them; nobody needs them beyond it.
    return replace(understand(texts, environment, variables, today=today), policies=())
