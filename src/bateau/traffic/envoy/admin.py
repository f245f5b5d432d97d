"""Ask a running Envoy about itself, over its admin socket.

Called by traffic.envoy.load, traffic.envoy.plane and wiring.gateway.
"""

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from bateau.kit.json_value import Json, JsonObject, array_at, object_at, text_at

_TIMEOUT_S = 3.0
_ACTIVE = r"^(http\..*\.downstream_rq_active|tcp\..*\.downstream_cx_active|cluster\..*\.upstream_rq_pending_active)$"
_WAITING = ".upstream_rq_pending_active"
# The admin interface counts the request that asks for the counters.
_ADMIN = "http.admin."


@dataclass(frozen=True, slots=True)
class Upstream:
    """The active requests (for tcp: connections) of each replica, and those that it was ever sent, by replica id."""

    in_flight: Mapping[str, int]
    taken: Mapping[str, int]


class EnvoyAdmin:
    """A client of Envoy's admin interface."""

    def __init__(self, socket: Path) -> None:
        self._socket = socket

    async def text(self, path: str) -> str | None:
        """Return the response to a GET, or None if Envoy does not answer."""
        return await self._ask("GET", path)

    async def post(self, path: str) -> bool:
        """Ask Envoy to change something; return whether it answered."""
        return await self._ask("POST", path) is not None

    async def _ask(self, method: str, path: str) -> str | None:
        timeout = aiohttp.ClientTimeout(total=_TIMEOUT_S)
        try:
            connector = aiohttp.UnixConnector(path=str(self._socket), force_close=True)
            async with (
                aiohttp.ClientSession(connector=connector, timeout=timeout) as session,
                session.request(method, "http://envoy" + path) as response,
            ):
                return await response.text() if response.status == 200 else None  # noqa: PLR2004
        except (aiohttp.ClientError, OSError, TimeoutError):
            return None

    async def upstream(self) -> Upstream | None:
        """Return the requests of each replica; None if Envoy does not answer."""
        clusters = await self._json("/clusters?format=json")
        if clusters is None:
            return None
        in_flight, taken = Counter[str](), Counter[str]()
        for cluster in array_at(clusters, "cluster_statuses"):
            for host in array_at(cluster, "host_statuses"):
                if replica := text_at(host, "hostname"):
                    stats = dict(_stats(host))
                    in_flight[replica] += _active(stats)
                    taken[replica] += stats.get("rq_total", 0)
        return Upstream(in_flight, taken)

    async def downstream_in_flight(self) -> tuple[int, int] | None:
        """Return the requests, streams and tcp connections of clients, and how many of them wait for a connection.

        Idle keep-alive connections do not count: nothing is lost when they close. None if Envoy does not answer.
        """
        stats = await self._json("/stats?format=json&filter=" + _ACTIVE)
        if stats is None:
            return None
        values = [(name, value) for name, value in _stats(stats) if not name.startswith(_ADMIN)]
        waiting = sum(value for name, value in values if name.endswith(_WAITING))
        return sum(value for _, value in values) - waiting, waiting

    async def _json(self, path: str) -> JsonObject | None:
        text = await self.text(path)
        return None if text is None else json.loads(text)


def _active(stats: Mapping[str, int]) -> int:
    # Requests for HTTP; a tcp proxy has connections only.
    return max(stats.get("rq_active", 0), stats.get("cx_active", 0) if stats.get("rq_total", 0) == 0 else 0)


def _stats(tree: Json) -> Iterator[tuple[str, int]]:
    for stat in array_at(tree, "stats"):
        value = object_at(stat).get("value", 0)  # Envoy writes 64-bit numbers as text
        if (name := text_at(stat, "name")) and isinstance(value, int | str):
            yield name, int(value)
