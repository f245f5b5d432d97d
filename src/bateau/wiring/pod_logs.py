"""The logs of the pods of a cluster, followed while a page shows them. Satisfies `bateau.ports.logs.LiveLogs`.

Called by cli.controller.

The stream of a pod ends with its container, when the kubelet rotates its file, and after ten silent minutes. It is
opened again at the time of the last line. A pod is read no faster than 1 MiB/s: if it writes more, its lines come late.

Invariant: a line is yielded once, also after a stream was cut. Held by
tests/wiring/test_pod_logs.py::test_a_stream_that_is_cut_continues_without_a_line_twice.
Invariant: a page that ends closes its streams, and nobody follows a log then. Held by
tests/wiring/test_pod_logs.py::test_a_reader_that_ends_closes_the_stream.
Invariant: no line and no number of pages takes more than a bounded amount of memory and of streams. Held by
tests/wiring/test_pod_logs.py::test_a_line_without_an_end_is_cut and
tests/wiring/test_pod_logs.py::test_of_many_pods_a_bounded_number_is_followed.
"""

import asyncio
import re
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from typing import Final

from bateau.domain.errors import ClusterError, ClusterUnreachable, ObjectRefused
from bateau.domain.replica import Replica
from bateau.kit.rfc3339 import rfc3339, seconds_of
from bateau.runtimes.kubernetes.api import ApiServer
from bateau.runtimes.kubernetes.requests import NotFound

PODS_MAX: Final = 20  # of one service that a page follows
STREAMS_MAX: Final = 100  # of all pages
LINE_BYTES_MAX: Final = 16 * 1024
AGAIN_S: Final = 2.0
_SILENCE_S: Final = 600.0
_BYTES_PER_S: Final = 2**20
_SEVERAL_CONTAINERS: Final = "a container name must be specified"  # the API server's words
_NANOSECONDS: Final = 9  # digits
_TIME: Final = re.compile(r"([^.]+?)(?:\.(\d{1,9}))?(Z|[+-]\d\d:\d\d)").fullmatch
Time = tuple[int, int]  # seconds since the epoch, and nanoseconds


class PodLogs:
    """The logs of pods. `api` and `replicas` return those of now."""

    def __init__(self, *, api: Callable[[], ApiServer], replicas: Callable[[], Sequence[Replica]]) -> None:
        self._api = api
        self._replicas = replicas
        self._streams = 0

    def of(self, service: str) -> Sequence[str]:
        """Return the pods of a service, "namespace/name": of more than 20, the newest."""
        found = sorted((each for each in self._replicas() if each.service == service), key=lambda each: each.since)
        return [each.id for each in found[-PODS_MAX:]]

    async def follow(self, replica_id: str, *, lines: int = 0, every_s: float = 0.2) -> AsyncGenerator[str]:
        """Yield the last lines of a pod, then each new one; ends with the pod, or once its log cannot be read.

        Then the last line says why. `every_s` is unused: lines are yielded as they come.
        """
        del every_s
        if self._streams >= STREAMS_MAX:
            yield f"(this log is not followed: the pages that are open follow {STREAMS_MAX} logs already)"
            return
        self._streams += 1
        try:
            last: Time | None = None
            while True:
                try:
                    async with aclosing(self._once(replica_id, lines, last)) as found:
                        async for at, text in found:
                            last = at or last
                            yield text
                except NotFound:
                    return
                except ClusterUnreachable:
                    pass
                except ObjectRefused as error:
                    if _SEVERAL_CONTAINERS in error.message:
                        namespace, _, name = replica_id.partition("/")
                        yield f"(the pod has several containers: kubectl logs -n {namespace} {name} --all-containers)"
                        return
                    # Such as a container that has not started.
                except ClusterError as error:
                    yield f"(the log cannot be read: {error.message})"
                    return
                await asyncio.sleep(AGAIN_S)
        finally:
            self._streams -= 1

    async def _once(self, replica_id: str, lines: int, last: Time | None) -> AsyncGenerator[tuple[Time | None, str]]:
        """Yield each line of one stream with its time, those until `last` left out. The kubelet's own have no time."""
        namespace, _, pod = replica_id.partition("/")
        since = rfc3339(last[0]) if last else ""
        chunks = self._api().following_log(namespace, pod, lines=lines, since=since, silence_s=_SILENCE_S)
        rest = b""
        async with aclosing(chunks):
            async for chunk in chunks:
                *whole, rest = (rest + chunk).split(b"\n")
                rest = rest[:LINE_BYTES_MAX]  # the rest of a line that is too long is dropped as it comes
                for line in whole:
                    text = line[:LINE_BYTES_MAX].decode("utf-8", "replace")
                    at = time_of(text.partition(" ")[0])
                    if last is None or at is None or at > last:
                        yield at, text.partition(" ")[2] if at else text
                await asyncio.sleep(len(chunk) / _BYTES_PER_S)


def time_of(told: str) -> Time | None:
    """Return the time of a line, with its nanoseconds, which a float does not hold; None if it is not one.

    >>> time_of("1970-01-01T00:00:10.12Z"), time_of("1970-01-01T01:00:10.000000001+01:00"), time_of("failed")
    ((10, 120000000), (10, 1), None)
    """
    found = _TIME(told)
    seconds = seconds_of(f"{found[1]}{found[3]}") if found else None
    return None if found is None or seconds is None else (int(seconds), int((found[2] or "").ljust(_NANOSECONDS, "0")))
