"""Serve the translated APIs on a unix socket, until SIGTERM.

Run by the local runtime as `python -m bateau.traffic.translator`. On SIGTERM it takes no new request and finishes those
that it has.
"""

import argparse
import asyncio
import signal
import sys

from aiohttp import web

from bateau.traffic.translator import ollama, open_inference
from bateau.traffic.translator.gateway import Gateway, serve_errors

_BODY_BYTES_MAX = 32 * 1024 * 1024
# The keeper kills a process that needs longer.
_SHUTDOWN_S = 60.0


async def main() -> int:
    """Serve until SIGTERM or SIGINT."""
    options = _parser().parse_args()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with Gateway(options.gateway) as gateway:
        app = web.Application(client_max_size=_BODY_BYTES_MAX, middlewares=[serve_errors])
        app.router.add_get("/healthz", _healthy)
        ollama.add_to(app.router, gateway)
        open_inference.add_to(app.router, gateway)
        # A client that leaves ends its request at the gateway, too.
        runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=_SHUTDOWN_S)
        await runner.setup()
        await web.UnixSite(runner, options.socket).start()
        await stop.wait()
        await runner.cleanup()
    return 0


async def _healthy(_: web.Request) -> web.Response:
    return web.json_response({"status": "ok"})


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="bateau-translator", description=__doc__)
    parser.add_argument("--socket", required=True, help="unix socket to serve on")
    parser.add_argument("--gateway", required=True, help="unix socket of the gateway's listener for this process")
    return parser


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
