"""Read the Prometheus page of a replica.

Called by wiring.local.
"""

import aiohttp

from bateau.domain.process import ProbeTarget

_TIMEOUT_S = 2.0
_OK = 200


async def prometheus_page(target: ProbeTarget) -> str | None:
    """Return the page, None where it cannot be read."""
    is_socket = target.address.startswith("/")
    connector = aiohttp.UnixConnector(path=target.address, force_close=True) if is_socket else None
    url = f"http://{'replica' if is_socket else target.address}{target.path}"
    timeout = aiohttp.ClientTimeout(total=_TIMEOUT_S)
    try:
        async with (
            aiohttp.ClientSession(connector=connector, timeout=timeout) as session,
            session.get(url) as response,
        ):
            return await response.text() if response.status == _OK else None
    except (aiohttp.ClientError, OSError, TimeoutError):
        return None
