"""Read and understand specs beside the control plane: files in a thread, expressions in a process of their own.

Made by wiring.local; used by control through control.reading.Reader.

Invariant: a repository of any size delays no probe. Held by tests/wiring/test_reading.py.
Invariant: with a limit, an evaluation that takes longer ends, with its process. Held by
tests/wiring/test_changing.py::test_a_plan_that_takes_too_long_is_stopped.
"""

import asyncio
import pickle
import signal
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime

from bateau.control.path import Written, understand
from bateau.domain.errors import ControlError
from bateau.domain.workload import Workload
from bateau.ports.texts import Texts
from bateau.wiring.worker import IDLE_S, Worker


class WorkerReader:
    """Satisfies `bateau.control.reading.Reader`. The process is started early, and ends after a while without work.

    An evaluation that takes more than `limit_s` seconds is stopped.
    """

    def __init__(
        self,
        environment: str | None,
        variables: Mapping[str, str],
        *,
        idle_s: float = IDLE_S,
        limit_s: int | None = None,
    ) -> None:
        self._limit_s = limit_s
        self._environment = environment
        self._variables = dict(variables)
        self._worker = Worker(idle_s=idle_s)
        self._services: Mapping[bytes, Workload] = {}  # those of the last texts, by their packed form

    def start(self) -> None:
        """Start the process, so that it is there when the first specs are read."""
        self._worker.start()

    async def read(self, texts: Texts) -> Mapping[str, str]:
        """Return the content of every spec file. Raises BateauError if the files cannot be read."""
        return await asyncio.to_thread(texts.read)

    async def understood(self, texts: Mapping[str, str], *, today: date) -> Written:
        """Return the texts as read and hydrated. Raises ControlError if the process exits before it is done."""
        began, limit_s = time.monotonic(), self._limit_s
        try:
            packed = await self._worker.call(
                _understood, dict(texts), self._environment, self._variables, today, limit_s=limit_s
            )
        except ControlError as error:
            if limit_s is None or time.monotonic() - began < limit_s:
                raise
            hint = "an expression may be too large; `bateau check` has no limit"
            raise ControlError(f"reading the specs took more than {limit_s} s, and was stopped", hint=hint) from error
        return await asyncio.to_thread(self._unpacked, packed)

    def is_sound(self, texts: Mapping[str, str]) -> bool:
        """Whether texts have no errors, today. Blocks: call it from a thread. Raises ControlError as `understood`."""
        today = datetime.fromtimestamp(time.time(), tz=UTC).date()
        packed = self._worker.call_here(_understood, dict(texts), self._environment, self._variables, today)
        return not packed.written.wrong

    @property
    def pid(self) -> int | None:
        """The process, None while there is none. Blocks until it has started."""
        return self._worker.pid

    def close(self) -> None:
        """End the process; the next texts get a new one."""
        self._worker.close()

    def _unpacked(self, packed: "_Packed") -> Written:
        """Return the specs. A service that has not changed is the same object as before, so nothing is made again."""
        known = self._services
        self._services = {
            data: known.get(data) or pickle.loads(data)  # noqa: S301 - from our own process
            for data in packed.services
        }
        return replace(packed.written, release=replace(packed.written.release, services=tuple(self._services.values())))


@dataclass(frozen=True, slots=True)
class _Packed:
    """Specs on their way to the control plane: `written` without its services, which are packed one by one."""

    written: Written
    services: tuple[bytes, ...]


def _understood(
    texts: Mapping[str, str],
    environment: str | None,
    variables: Mapping[str, str],
    today: date,
    *,
    limit_s: int | None = None,
) -> _Packed:
    signal.alarm(limit_s or 0)  # it kills this process, which nothing in an expression can prevent
    try:
        found = understand(texts, environment, variables, today=today)
    finally:
        signal.alarm(0)
    services = tuple(pickle.dumps(each, pickle.HIGHEST_PROTOCOL) for each in found.release.services)
    return _Packed(replace(found, release=replace(found.release, services=())), services)
