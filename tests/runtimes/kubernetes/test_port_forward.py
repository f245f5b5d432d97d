"""Ports of pods through the API server. The server here is a small one; tests/cluster uses the real one."""

import asyncio
import struct
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

from aiohttp import WSMsgType, web

from bateau.runtimes.kubernetes.port_forward import forwarded, forwarded_socket
from runtimes.kubernetes.servant import served

PORT = 8082


def greeting(channel: int) -> bytes:
    return bytes([channel]) + struct.pack("<H", PORT)


async def _kubelet(request: web.Request) -> web.StreamResponse:
    """Echo, as the kubelet passes bytes; a connection whose first bytes are `fail` gets an error."""
    assert request.path == "/api/v1/namespaces/bateau-system/pods/controller-1/portforward"
    assert request.query["ports"] == str(PORT)
    opened = web.WebSocketResponse(protocols=("v4.channel.k8s.io",))
    await opened.prepare(request)
    await opened.send_bytes(greeting(0))
    await opened.send_bytes(greeting(1))
    async for message in opened:
        assert message.type is WSMsgType.BINARY
        if message.data[1:] == b"fail":
            await opened.send_bytes(b"\x01connection refused")
            break
        if message.data[1:] == b"end":
            break
        await opened.send_bytes(message.data)
    return opened


@asynccontextmanager
async def at() -> AsyncGenerator[tuple[str, int]]:
    async with (
        served(_kubelet) as (api, _),
        forwarded(api, "bateau-system", "controller-1", PORT, listen=("127.0.0.1", 0)) as address,
    ):
        yield address


async def test_bytes_pass_in_both_directions_and_without_the_number_of_the_port() -> None:
    async with at() as address:
        reader, writer = await asyncio.open_connection(*address)
        for text in (b"a", b"x" * 300_000, bytes(range(256))):
            writer.write(text)
            assert await reader.readexactly(len(text)) == text
        writer.close()


async def test_the_end_of_the_pods_connection_ends_that_of_the_client() -> None:
    async with at() as address:
        reader, writer = await asyncio.open_connection(*address)
        writer.write(b"end")
        assert await reader.read() == b""
        writer.close()


async def test_bytes_pass_over_a_socket_too_and_an_open_connection_ends_in_silence(tmp_path: Path) -> None:
    """Asyncio calls its handler of exceptions for a connection that was cancelled, which prints a traceback."""
    told: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: told.append(context))
    async with served(_kubelet) as (api, _):
        async with forwarded_socket(api, "bateau-system", "controller-1", PORT, path=tmp_path / "socket"):
            reader, writer = await asyncio.open_unix_connection(tmp_path / "socket")
            writer.write(b"a")
            assert await reader.readexactly(1) == b"a"
        assert await reader.read() == b""
        writer.close()
        await asyncio.sleep(0.05)
    assert told == []


async def test_a_connection_that_fails_ends_no_other() -> None:
    async with at() as address:
        reader, writer = await asyncio.open_connection(*address)
        other_reader, other = await asyncio.open_connection(*address)
        writer.write(b"fail")
        assert await reader.read() == b""
        other.write(b"still here")
        assert await other_reader.readexactly(10) == b"still here"
        writer.close()
        other.close()
