"""A process beside the control plane for long computations, such as reading and rendering specs.

Called by wiring.controller, wiring.declaring and wiring.reading. The process starts when it is needed, and ends after a
while without work.

Invariant: a computation that crashes its process ends no other one: the crash is reported as an error, and the next
attempt uses a new process. Held by tests/wiring/test_reading.py.
Refused: threads. They hold the interpreter's lock, and a crash in native code ends everything.
"""

import asyncio
import ctypes
import os
import signal
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from typing import Final, ParamSpec, TypeVar

from bateau.domain.errors import ControlError

_PR_SET_PDEATHSIG: Final = 1  # prctl(2)
IDLE_S: Final = 60.0
_ENDED: Final = "the process that evaluates the specs exited before it was done"
_ENDED_HINT: Final = "an expression may have crashed it: undo the last change; the evaluation is retried"

_Given = ParamSpec("_Given")
_Made = TypeVar("_Made")


class Worker:
    """One process at a time."""

    def __init__(self, *, idle_s: float = IDLE_S) -> None:
        self._idle_s = idle_s
        self._pool: ProcessPoolExecutor | None = None
        self._idle: asyncio.TimerHandle | None = None
        self._waiting = 0

    def start(self) -> None:
        """Start the process, so that it is there when it is needed."""
        self._process().submit(os.getpid)

    async def call(self, function: Callable[_Given, _Made], *given: _Given.args, **named: _Given.kwargs) -> _Made:
        """Return the result of a function of a module. Raises ControlError if the process exits before it is done."""
        if self._idle:
            self._idle.cancel()
        self._waiting += 1
        try:
            return await asyncio.wrap_future(self._process().submit(function, *given, **named))
        except BrokenProcessPool as error:
            self.close()
            raise ControlError(_ENDED, hint=_ENDED_HINT) from error
        finally:
            self._waiting -= 1
            if not self._waiting:
                self._idle = asyncio.get_running_loop().call_later(self._idle_s, self.close)

    def call_here(self, function: Callable[_Given, _Made], *given: _Given.args, **named: _Given.kwargs) -> _Made:
        """Do the same as `call`, and block: for a thread."""
        try:
            return self._process().submit(function, *given, **named).result()
        except BrokenProcessPool as error:
            self._pool = None
            raise ControlError(_ENDED, hint=_ENDED_HINT) from error

    @property
    def pid(self) -> int | None:
        """The process, None while there is none. Blocks until it has started."""
        return self._pool.submit(os.getpid).result() if self._pool else None

    def close(self) -> None:
        """End the process; the next call gets a new one."""
        pool, self._pool = self._pool, None
        if self._idle:
            self._idle.cancel()
            self._idle = None
        if pool:
            pool.shutdown(wait=False, cancel_futures=True)

    def _process(self) -> ProcessPoolExecutor:
        if self._pool is None:
            # Spawned and not forked: it inherits no lock, no socket and no thread of the control plane.
            self._pool = ProcessPoolExecutor(
                1, mp_context=get_context("spawn"), initializer=_begin, initargs=(os.getpid(),)
            )
        return self._pool


def _begin(parent: int) -> None:
    """Leave signals to the control plane, and exit when it exits, for any reason."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    # The control plane may have ended before that call. Its pid is 1 in a pod.
    if os.getppid() != parent:
        os._exit(0)
