"""Reach a port of a pod through the API server, as `kubectl port-forward` does.

Called by wiring.cluster_open. It needs the right to create `pods/portforward`; where the port listens on loopback only,
whoever lacks that right cannot reach it.

Source: the protocol `v4.channel.k8s.io` of the kubelet (`pkg/kubelet/cri/streaming/portforward/websocket.go`): one
WebSocket for each connection, with two channels for the port, data and errors. The first byte of a message is its
channel. The first message of each channel has the number of the port, in two bytes.

Invariant: the end of one connection, or a failure of it, ends no other. Held by
tests/runtimes/kubernetes/test_port_forward.py::test_a_connection_that_fails_ends_no_other.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Final
from urllib.parse import quote

import aiohttp

from bateau.domain.errors import ClusterError
from bateau.runtimes.kubernetes.api import ApiServer

logger = logging.getLogger(__name__)

_PROTOCOL: Final = "v4.channel.k8s.io"
_DATA: Final = 0
_ERRORS: Final = 1
_PORT_BYTES: Final = 2
_READ_BYTES: Final = 64 * 1024


@asynccontextmanager
async def forwarded(
    api: ApiServer, namespace: str, pod: str, port: int, *, listen: tuple[str, int]
) -> AsyncGenerator[tuple[str, int]]:
    """Listen at an address for the length of a block, and pass each connection to the port. Give the real address.

    Raises OSError if nothing can listen there.
    """
    async with _passing(api, namespace, pod, port) as connected:
        server = await asyncio.start_server(connected, *listen)
        try:
            host, chosen, *_ = server.sockets[0].getsockname()
            yield host, chosen
        finally:
            server.close()


@asynccontextmanager
async def forwarded_socket(api: ApiServer, namespace: str, pod: str, port: int, *, path: Path) -> AsyncGenerator[None]:
    """Listen at a unix socket for the length of a block, so that no other user of this machine can connect.

    Its folder must be one that only this user can open. Raises OSError if nothing can listen there.
    """
    async with _passing(api, namespace, pod, port) as connected:
        server = await asyncio.start_unix_server(connected, path)
        try:
            yield
        finally:
            server.close()


@asynccontextmanager
async def _passing(
    api: ApiServer, namespace: str, pod: str, port: int
) -> AsyncGenerator[Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]]:
    """Give what passes a connection to the port, and end all connections with the block."""
    connections: set[asyncio.Task[None]] = set()
    passes: set[asyncio.Task[None]] = set()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is not None:
            connections.add(task)
            task.add_done_callback(connections.discard)
        # In a task of its own, which the end of the block cancels: asyncio reports a cancelled connection as an error.
        passing = asyncio.create_task(_pass(api, namespace, pod, port, reader, writer))
        passes.add(passing)
        passing.add_done_callback(passes.discard)
        await asyncio.wait({passing})
        error = None if passing.cancelled() else passing.exception()
        if isinstance(error, (ClusterError, ConnectionError)):
            logger.warning("a connection to %s/%s ended: %s", namespace, pod, error)
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()
        if error is not None and not isinstance(error, (ClusterError, ConnectionError)):
            raise error

    try:
        yield connected
    finally:
        for task in [*passes]:
            task.cancel()
        await asyncio.gather(*connections, return_exceptions=True)


async def _pass(
    api: ApiServer,
    namespace: str,
    pod: str,
    port: int,
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
) -> None:
    path = f"/api/v1/namespaces/{quote(namespace)}/pods/{quote(pod)}/portforward"
    async with api.requests.websocket(path, {"ports": str(port)}, protocol=_PROTOCOL) as opened:
        sending = asyncio.create_task(_send(reader, opened))
        try:
            await _receive(opened, writer)
        finally:
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)


async def _send(reader: asyncio.StreamReader, opened: aiohttp.ClientWebSocketResponse) -> None:
    while data := await reader.read(_READ_BYTES):
        await opened.send_bytes(bytes([_DATA]) + data)
    await opened.close()


async def _receive(opened: aiohttp.ClientWebSocketResponse, writer: asyncio.StreamWriter) -> None:
    greeted: set[int] = set()
    async for message in opened:
        if message.type is not aiohttp.WSMsgType.BINARY or not message.data:
            continue
        channel, data = message.data[0], message.data[1:]
        if channel not in greeted:
            greeted.add(channel)
            data = data[_PORT_BYTES:]
        if channel == _ERRORS and data:
            raise ClusterError(f"the port cannot be reached: {data.decode('utf-8', 'replace').strip()}")
        if channel == _DATA and data:
            writer.write(data)
            await writer.drain()
