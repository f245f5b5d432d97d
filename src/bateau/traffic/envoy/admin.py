"""Ask a running Envoy about itself, over its admin socket.

Called by plane (requests in flight) and by wiring for metrics.
"""

import json
from pathlib import Path
from typing import Any

import aiohttp

_TIMEOUT_S = 3.0


class EnvoyAdmin:
    """A client of Envoy's admin interface."""

    def __init__(self, socket: Path) -> None:
        self._socket = socket

    async def text(self, path: str) -> str | None:
        """Return the answer to a GET, or None where Envoy does not answer."""
        timeout = aiohttp.ClientTimeout(total=_TIMEOUT_S)
        try:
            connector = aiohttp.UnixConnector(path=str(self._socket), force_close=True)
            async with (
                aiohttp.ClientSession(connector=connector, timeout=timeout) as session,
                session.get(f"http://envoy{path}") as response,
            ):
                return await response.text() if response.status == 200 else None  # noqa: PLR2004
        except (aiohttp.ClientError, OSError, TimeoutError):
            return None

    async def requests_in_flight(self) -> dict[str, int] | None:
        """Return active requests (for tcp: connections) by the replica's id, or None where Envoy does not answer."""
        text = await self.text("/clusters?format=json")
        if text is None:
            return None
        found: dict[str, int] = {}
        for cluster in json.loads(text).get("cluster_statuses", []):
            for host in cluster.get("host_statuses", []):
                replica = host.get("hostname")
                if replica:
                    found[replica] = found.get(replica, 0) + _active(host)
        return found


def _active(host: dict[str, Any]) -> int:
    stats = {stat["name"]: int(stat.get("value", 0)) for stat in host.get("stats", [])}
    # Requests for HTTP; a tcp proxy has connections only.
    return max(stats.get("rq_active", 0), stats.get("cx_active", 0) if stats.get("rq_total", 0) == 0 else 0)
