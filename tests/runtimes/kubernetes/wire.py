"""A network to a real API server that a test cuts: it refuses connections, or it no longer carries anything."""

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml


class Wire:
    """Carries the bytes of connections to an address, from a port of its own."""

    def __init__(self, host: str, port: int) -> None:
        self._to = host, port
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._carries = asyncio.Event()
        self._carries.set()
        self.port = 0

    async def mend(self) -> None:
        """Carry everything, from the same port as before."""
        self._carries.set()
        if self._server is None:
            self._server = await asyncio.start_server(self._carry, "127.0.0.1", self.port)
            self.port = self._server.sockets[0].getsockname()[1]

    def cut(self) -> None:
        """End every connection, and refuse new ones."""
        if self._server is not None:
            self._server.close()
            self._server = None
        for each in self._writers:
            each.transport.abort()

    def hush(self) -> None:
        """Keep every connection, accept new ones, and carry nothing."""
        self._carries.clear()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        with suppress(OSError, asyncio.CancelledError):
            await self._carries.wait()
            answers, there = await asyncio.open_connection(*self._to)
            self._writers.add(there)
            await asyncio.gather(self._copy(reader, there), self._copy(answers, writer))
        writer.transport.abort()
        self._writers.discard(writer)

    async def _copy(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await reader.read(65_536):
                await self._carries.wait()
                writer.write(data)
                await writer.drain()
        writer.transport.abort()
        self._writers.discard(writer)


@asynccontextmanager
async def wired(kubeconfig: Path, folder: Path, *, context: str) -> AsyncGenerator[tuple[Path, Wire]]:
    """Give a kubeconfig that reaches the same API server through a wire, and the wire."""
    tree: dict[str, Any] = yaml.safe_load(kubeconfig.read_text())  # noqa: ASYNC240 - a small file
    cluster: dict[str, Any] = tree["clusters"][0]
    server = urlsplit(str(cluster["cluster"]["server"]))
    assert server.hostname
    wire = Wire(server.hostname, server.port or 443)
    await wire.mend()
    cluster["cluster"]["server"] = f"{server.scheme}://127.0.0.1:{wire.port}"
    cluster["cluster"]["tls-server-name"] = server.hostname
    tree["contexts"][0]["name"] = tree["current-context"] = context
    made = folder / f"{context}.json"
    made.write_text(json.dumps(tree))
    try:
        yield made, wire
    finally:
        wire.cut()
