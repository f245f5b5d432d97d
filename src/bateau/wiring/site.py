"""Serve a web application at an address.

Called by api.health and ui.cluster_dashboard.
"""

from aiohttp import web

from bateau.domain.errors import ControlError

_END_S = 1.0  # for requests that still run


class Site:
    """An application at an address. `option` is the one of the command line that sets it."""

    def __init__(self, app: web.Application, address: str, port: int, *, option: str) -> None:
        self._address = address
        self._port = port
        self._option = option
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=_END_S)

    async def open(self) -> None:
        """Start to listen. Raises ControlError if the address cannot be used."""
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, self._address, self._port).start()
        except OSError as error:
            await self._runner.cleanup()
            raise ControlError(
                f"cannot listen on {self._address}:{self._port}: {error.strerror or error}",
                hint=f"choose another address with {self._option}",
            ) from error

    async def close(self) -> None:
        """Stop to listen."""
        await self._runner.cleanup()
