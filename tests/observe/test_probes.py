"""Probes against real servers: each thing that can be wrong has its line."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any, cast

import grpc.aio
import pytest
from aiohttp import web
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from bateau.domain.process import ProbeTarget
from bateau.observe.probes import NetworkProber

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@pytest.fixture
def closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextlib.asynccontextmanager
async def serving(handler: Handler, socket_path: str | None = None) -> AsyncGenerator[str]:
    """Serve HTTP with this handler; give the address."""
    app = web.Application()
    app.router.add_get("/{tail:.*}", handler)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.UnixSite(runner, socket_path) if socket_path else web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield socket_path or "127.0.0.1:{1}".format(*runner.addresses[0])
    finally:
        await runner.cleanup()


@contextlib.asynccontextmanager
async def speaking(answer: bytes | None) -> AsyncGenerator[str]:
    """Serve raw bytes, then close; None keeps silent."""
    connections: list[asyncio.Task[None]] = []

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            await reader.read(1000)
            if answer is None:
                await reader.read()
            else:
                writer.write(answer)
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()

    def on_connection(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append(asyncio.ensure_future(converse(reader, writer)))

    server = await asyncio.start_server(on_connection, "127.0.0.1", 0)
    try:
        yield "127.0.0.1:{1}".format(*server.sockets[0].getsockname())
        await asyncio.gather(*connections)  # ends only if the prober has closed each
    finally:
        server.close()


def answering(status: int, body: str = "") -> Handler:
    async def handler(_request: web.Request) -> web.Response:
        return web.Response(status=status, text=body)

    return handler


async def http(address: str, path: str = "/", timeout_s: float = 5.0) -> str | None:
    return await NetworkProber().probe(ProbeTarget(kind="http", address=address, path=path), timeout_s)


@pytest.mark.parametrize("status", [200, 204, 302, 399])
async def test_2xx_and_3xx_are_well(status: int) -> None:
    async with serving(answering(status)) as address:
        assert await http(address) is None


async def test_http_over_a_unix_socket_asks_for_the_path(socket_path: str) -> None:
    async def handler(request: web.Request) -> web.Response:
        return web.Response(status=200 if request.path_qs == "/health?deep=1" else 404)

    async with serving(handler, socket_path) as address:
        assert await http(address, "/health?deep=1") is None
        assert await http(address, "/other") == "answered 404: Not Found"


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ('{"error":{"code":503,"message":"Loading model","type":"unavailable_error"}}', "answered 503: Loading model"),
        ('{"detail":"no database"}', "answered 503: no database"),
        ('{"status":"down"}', 'answered 503: {"status":"down"}'),
        ("loading\nmore", "answered 503: loading"),
        ("<html><body>proxy</body></html>", "answered 503: Service Unavailable"),
        ("", "answered 503: Service Unavailable"),
        ("x" * 9999, f"answered 503: {'x' * 120}..."),
    ],
)
async def test_another_status_is_told_with_what_the_server_says(body: str, says: str) -> None:
    async with serving(answering(503, body)) as address:
        assert await http(address) == says


async def test_a_connection_is_closed_after_each_probe() -> None:
    transports: list[asyncio.BaseTransport] = []

    async def handler(request: web.Request) -> web.Response:
        assert request.transport is not None
        transports.append(request.transport)
        return web.Response()

    async with serving(handler) as address:
        assert [await http(address), await http(address)] == [None, None]
    assert len({id(transport) for transport in transports}) == 2


async def test_refused_connections_are_told(closed_port: int, socket_path: str) -> None:
    assert await http(f"127.0.0.1:{closed_port}") == "connection refused"
    assert await http(socket_path) == "connection refused: its socket does not exist"
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(socket_path)
    assert await http(socket_path) == "connection refused"


async def test_silence_is_told_with_the_time_that_was_waited() -> None:
    async with speaking(None) as address:
        assert await http(address, timeout_s=0.2) == "no answer within 0.2 s"
        grpc_target = ProbeTarget(kind="grpc", address=address)
        assert await NetworkProber().probe(grpc_target, 0.2) == "no answer within 0.2 s"


@pytest.mark.parametrize(
    ("answer", "says"),
    [(b"", "closed the connection without an answer"), (b"SSH-2.0-OpenSSH\r\n\r\n", "answered, but not in HTTP")],
)
async def test_a_server_that_speaks_no_http_is_told(answer: bytes, says: str) -> None:
    async with speaking(answer) as address:
        assert await http(address) == says


@pytest.mark.parametrize("address", ["nonsense", "127.0.0.1:http", "127.0.0.1:{port:http}", ""])
async def test_what_is_no_address_is_told(address: str) -> None:
    for kind in ("http", "tcp"):
        target = ProbeTarget(kind=kind, address=address)  # type: ignore[arg-type]  # a literal in a loop
        line = await NetworkProber().probe(target, 5.0)
        assert line is not None
        assert "\n" not in line


async def test_tcp_is_well_once_it_connects(closed_port: int, socket_path: str) -> None:
    prober = NetworkProber()
    async with speaking(b"") as address, serving(answering(200), socket_path):
        assert await prober.probe(ProbeTarget(kind="tcp", address=address), 5.0) is None
        assert await prober.probe(ProbeTarget(kind="tcp", address=socket_path), 5.0) is None
    refused = ProbeTarget(kind="tcp", address=f"127.0.0.1:{closed_port}")
    assert await prober.probe(refused, 5.0) == "connection refused"


async def test_grpc_health_is_asked_over_tcp_and_unix_sockets(socket_path: str, closed_port: int) -> None:
    prober = NetworkProber()
    tcp, unix = (ProbeTarget(kind="grpc", address=address) for address in (f"127.0.0.1:{closed_port}", socket_path))
    assert await prober.probe(tcp, 5.0) == "connection refused"
    assert await prober.probe(unix, 5.0) == "connection refused: its socket does not exist"

    server = grpc.aio.server()
    servicer = cast("Any", health).aio.HealthServicer()
    cast("Any", health_pb2_grpc).add_HealthServicer_to_server(servicer, server)
    server.add_insecure_port(tcp.address)
    server.add_insecure_port(f"unix:{socket_path}")
    await server.start()
    try:
        for target in (tcp, unix):
            await servicer.set("", health_pb2.HealthCheckResponse.SERVING)
            assert await prober.probe(target, 5.0) is None
            await servicer.set("", health_pb2.HealthCheckResponse.NOT_SERVING)
            assert await prober.probe(target, 5.0) == "answered NOT_SERVING"
    finally:
        await server.stop(None)


async def test_a_grpc_server_without_the_health_service_is_told(socket_path: str) -> None:
    server = grpc.aio.server()
    server.add_insecure_port(f"unix:{socket_path}")
    await server.start()
    try:
        line = await NetworkProber().probe(ProbeTarget(kind="grpc", address=socket_path), 5.0)
    finally:
        await server.stop(None)
    assert line == "does not implement the gRPC health service (grpc.health.v1.Health)"
