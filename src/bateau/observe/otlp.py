"""Send spans to an OpenTelemetry collector, by OTLP over HTTP with Protocol Buffers.

Called by wiring.otlp and wiring.spans.
Source: OpenTelemetry Protocol Specification 1.x, "OTLP/HTTP": which failures may be tried again, and partial success.

Invariant: no error contains a header of the collector, or credentials in its URL, as these are secret. Held by
tests/observe/test_otlp.py::test_no_error_contains_a_secret.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Final, Self

import aiohttp

from bateau import __version__
from bateau.observe.otlp_wire import rejected_in, request_of
from bateau.observe.spans import Span

_TIMEOUT_S: Final = 10.0
_AGAIN: Final = frozenset({429, 502, 503, 504})
_SUCCESSES: Final = range(200, 300)
_ANSWER_BYTES_MAX: Final = 65_536
_WHY_MAX: Final = 200
_TYPE: Final = "application/x-protobuf"


@dataclass(frozen=True, kw_only=True)
class Collector:
    """Where spans go. `shown` is the URL without the parts that may be secret; `resource` describes this instance."""

    url: str = field(repr=False)
    shown: str
    headers: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)
    resource: Mapping[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """The collector has spans, but for those that it has `rejected`, with a reason."""

    rejected: int = 0
    why: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """The collector has not taken the spans; with `again` it may, after a time if it has asked for one."""

    why: str
    again: bool
    after_s: float | None = None


class OtlpExporter:
    """A connection to a collector, within an `async with`."""

    def __init__(self, collector: Collector) -> None:
        self._collector = collector
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        # Cookies of a collector, and proxies that the environment names, are of no use here.
        self._session = aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=_TIMEOUT_S), cookie_jar=aiohttp.DummyCookieJar()
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._session:
            await self._session.close()

    async def send(self, spans: Sequence[Span]) -> Sent | Failed:
        """Send spans once, and return how that went."""
        assert self._session  # noqa: S101 - the exporter is used within `async with`
        body = await asyncio.to_thread(
            request_of, spans, resource=self._collector.resource, scope=("bateau", __version__)
        )
        headers = {**self._collector.headers, "content-type": _TYPE, "user-agent": f"bateau/{__version__}"}
        try:
            # A redirection would take the headers to another place.
            async with self._session.post(
                self._collector.url, data=body, headers=headers, allow_redirects=False
            ) as response:
                answer = await response.content.read(_ANSWER_BYTES_MAX)
                return _outcome(response, answer)
        except TimeoutError:
            return Failed(why=f"it did not answer within {_TIMEOUT_S:g} s", again=True)
        except aiohttp.ClientConnectorError as error:
            return Failed(why=error.strerror or type(error.os_error).__name__, again=True)
        except (aiohttp.ClientError, OSError) as error:
            return Failed(why=type(error).__name__, again=True)


def _outcome(response: aiohttp.ClientResponse, answer: bytes) -> Sent | Failed:
    if response.status in _SUCCESSES:
        rejected, why = rejected_in(answer) if response.content_type == _TYPE else (0, "")
        return Sent(rejected=rejected, why=why[:_WHY_MAX])
    after = response.headers.get("retry-after", "")
    return Failed(
        why=f"HTTP {response.status}",
        again=response.status in _AGAIN,
        after_s=float(after) if after.isdecimal() else None,
    )
