"""Watch whether the external APIs of a release accept connections.

Called by control.loop and control.service_status.

Only a connection is opened, every half minute: a request would need a key, and might cost money.

Invariant: until the first attempt has ended, the answer is unknown, and never that the API can be reached. Held by
tests/control/test_reach.py.
Refused: the counters of the gateway. They know nothing before the request of a client has failed.
"""

import asyncio
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from bateau.domain.errors import bug
from bateau.domain.process import ProbeTarget
from bateau.domain.release import Release
from bateau.domain.workload import External
from bateau.kit.url import UrlError, parsed
from bateau.ports.probe import Prober

logger = logging.getLogger(__name__)

INTERVAL_S = 30.0
FAILING_INTERVAL_S = 5.0
_TIMEOUT_S = 5.0
_HTTPS, _HTTP = 443, 80


@dataclass(frozen=True, slots=True)
class Reached:
    """The last attempt to connect; `failure` is the reason if it failed. Before the first one ends, it is not known."""

    known: bool = False
    failure: str | None = None


class Reach:
    """Connects to each URL from time to time. Without a prober, it never does."""

    def __init__(self, prober: Prober | None, wake: Callable[[], None]) -> None:
        self._prober = prober
        self._wake = wake
        self._reached: dict[str, Reached] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def follow(self, release: Release) -> None:
        """Watch the external APIs of a release, and no others."""
        urls = set(_urls(release)) if self._prober else set[str]()
        for url in self._tasks.keys() - urls:
            self._tasks.pop(url).cancel()
            self._reached.pop(url, None)
        for url in urls - self._tasks.keys():
            self._reached[url] = Reached()
            self._tasks[url] = asyncio.get_running_loop().create_task(self._watch(url), name=f"connect to {url}")

    def of(self, url: str | None) -> Reached | None:
        """Return whether an external API was reached; None if it is not watched."""
        return self._reached.get(url) if url else None

    async def close(self) -> None:
        """Stop watching."""
        tasks = list(self._tasks.values())
        self._tasks.clear()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _watch(self, url: str) -> None:
        while True:
            failure = await self._failure(url)
            if self._reached.get(url) != (reached := Reached(known=True, failure=failure)):
                self._reached[url] = reached
                self._wake()
            await asyncio.sleep(INTERVAL_S if failure is None else FAILING_INTERVAL_S)

    async def _failure(self, url: str) -> str | None:
        assert self._prober  # noqa: S101 - nothing is watched without one
        try:
            found = parsed(url)
            port = found.port or (_HTTPS if found.scheme == "https" else _HTTP)
            host = f"[{found.host}]" if ":" in found.host else found.host
            target = ProbeTarget(kind="tcp", address=f"{host}:{port}")
            answer = await self._prober.probe(target, _TIMEOUT_S)
        except UrlError as error:
            return error.says
        except Exception as error:
            logger.exception("%s was not probed", url)
            return f"{bug(error)}; the log has the details"
        return answer and f"{target.address}: {answer}"


def _urls(release: Release) -> Iterator[str]:
    return (service.runs.url for service in release.services if isinstance(service.runs, External))
