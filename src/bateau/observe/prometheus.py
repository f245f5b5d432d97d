"""Ask a server that speaks the API of Prometheus for the values of an expression over time.

Called by wiring.charts. Source: Prometheus' HTTP API, `/api/v1/query_range`, which VictoriaMetrics, Thanos and Mimir
have too.

Invariant: an answer is bounded in time and size, and one that cannot be read raises ControlError. Held by
tests/observe/test_prometheus.py.
"""

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite
from typing import Final

import aiohttp

from bateau.domain.errors import ControlError
from bateau.kit.json_value import array_at, is_array, is_object, text_at

TIMEOUT_S: Final = 5.0
BYTES_MAX: Final = 4 * 2**20
_AT_ONCE: Final = 4
_OK: Final = 200
_SAYS_MAX: Final = 200


@dataclass(frozen=True, slots=True)
class Prometheus:
    """A server. `token` is sent as a bearer token, if it needs one."""

    url: str
    token: str | None = None

    async def values(
        self, expressions: Mapping[str, str], *, start: float, end: float, step_s: float
    ) -> Mapping[str, Mapping[float, float]]:
        """Return the values of each expression by time; those that are not known are missing. Raises ControlError."""
        headers = {"authorization": f"Bearer {self.token}"} if self.token else {}
        timeout = aiohttp.ClientTimeout(total=TIMEOUT_S)
        connector = aiohttp.TCPConnector(limit=_AT_ONCE)
        when = {"start": f"{start:.3f}", "end": f"{end:.3f}", "step": f"{step_s:g}", "timeout": f"{TIMEOUT_S:g}s"}
        async with aiohttp.ClientSession(headers=headers, timeout=timeout, connector=connector) as session:
            found = await asyncio.gather(
                *(self._series(session, {"query": query, **when}) for query in expressions.values()),
                return_exceptions=True,
            )
        values: dict[str, Mapping[float, float]] = {}
        for name, each in zip(expressions, found, strict=True):
            if isinstance(each, BaseException):
                raise each
            values[name] = each
        return values

    async def _series(self, session: aiohttp.ClientSession, query: Mapping[str, str]) -> Mapping[float, float]:
        address, body = f"{self.url.rstrip('/')}/api/v1/query_range", b""
        try:
            async with session.post(address, data=query, allow_redirects=False) as response:
                while len(body) <= BYTES_MAX and (more := await response.content.read(BYTES_MAX + 1 - len(body))):
                    body += more
        except TimeoutError:
            raise self._error(f"does not answer within {TIMEOUT_S:g} s") from None
        except (aiohttp.ClientError, OSError) as error:
            raise self._error(f"does not answer: {error}") from None
        if len(body) > BYTES_MAX:
            raise self._error(f"answers with more than {BYTES_MAX // 2**20} MiB")
        try:
            tree: object = json.loads(body)
        except (ValueError, RecursionError):
            tree = None
        if response.status != _OK or text_at(tree, "status") != "success":
            says = text_at(tree, "error")[:_SAYS_MAX]
            raise self._error(f"answers with status {response.status}{f': {says}' if says else ''}")
        return self._read(tree)

    def _read(self, tree: object) -> Mapping[float, float]:
        found: dict[float, float] = {}
        for series in array_at(tree, "data", "result"):
            for pair in array_at(series, "values") if is_object(series) else ():
                try:
                    when_s, value = (float(str(each)) for each in pair) if is_array(pair) else (None, None)
                except ValueError:
                    raise self._error("gives values that are not numbers") from None
                if when_s is not None and value is not None and isfinite(value):
                    found[when_s] = value
        return found

    def _error(self, says: str) -> ControlError:
        return ControlError(
            f"the Prometheus server {self.url} {says}", hint="see whether the address of --prometheus is right"
        )
