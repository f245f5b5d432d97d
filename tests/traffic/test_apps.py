"""Each port of an App has a loopback port of its own: http with websockets, gRPC over h2, and plain tcp."""

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncGenerator
from typing import Any

import grpc
import grpc.aio
import pytest
from aiohttp import WSMsgType, web
from grpc_health.v1 import health as _health
from grpc_health.v1 import health_pb2
from grpc_health.v1 import health_pb2_grpc as _health_pb2_grpc

from bateau.domain.endpoint import Backend, Endpoint, Protocol
from traffic.gateway import Gateway, eventually, free_port
from traffic.upstream import Upstream, upstream

pytestmark = pytest.mark.asyncio(loop_scope="module")

# Neither has type information.
health: Any = _health
health_pb2_grpc: Any = _health_pb2_grpc


def app(protocol: Protocol, *endpoints: Endpoint, port: int, hosts: tuple[str, ...] = ()) -> Backend:
    return Backend(
        service="app/shop",
        name="shop",
        protocol=protocol,
        endpoints=endpoints,
        listen_port=port,
        port_name="main",
        hosts=hosts,
    )


async def test_a_foreign_host_is_403_unless_the_app_serves_it(gateway: Gateway, first: Upstream) -> None:
    """A web page could otherwise reach the port by a name of its own that it lets resolve to this machine."""
    port = free_port()
    url = f"http://127.0.0.1:{port}/"

    async def status(host: str) -> int:
        # The listener is another one after a change, and a connection stays with its own.
        return (await gateway.ask("GET", url, headers={"host": host, "connection": "close"})).status

    await gateway.publish(app("http", first.endpoint(), port=port))
    refused = await gateway.ask("GET", url, headers={"host": "evil.example", "connection": "close"})
    assert (refused.status, refused.error["code"]) == (403, "host_not_allowed")
    assert "spec.ports.NAME.hosts" in refused.error["message"]
    for host in ("localhost", f"localhost:{port}", f"127.0.0.1:{port}", "[::1]"):
        assert await status(host) == 200
    await gateway.publish(app("http", first.endpoint(), port=port, hosts=("*.example.org", "shop.example")))
    assert [await status(host) for host in ("a.example.org", "shop.example:80", "b.example")] == [200, 200, 403]
    await gateway.publish(app("http", first.endpoint(), port=port, hosts=("*",)))
    assert await status("evil.example") == 200


async def test_http_is_passed_as_it_is_and_spread_by_request(
    gateway: Gateway, first: Upstream, second: Upstream
) -> None:
    port = free_port()
    await gateway.publish(app("http", first.endpoint(), second.endpoint(), port=port, hosts=("shop.example",)))
    url = f"http://127.0.0.1:{port}/cart?item=1"
    sent = {"authorization": "Bearer mine", "host": "shop.example"}
    answers = [await gateway.ask("PUT", url, data=b"body", headers=sent) for _ in range(40)]
    assert [answer.status for answer in answers] == [200] * 40
    assert len(Counter(answer.tree["upstream"] for answer in answers)) == 2
    seen = first.seen[0]
    assert (seen.method, seen.path, seen.body) == ("PUT", "/cart?item=1", b"body")
    assert (seen.headers["authorization"], seen.headers["host"]) == ("Bearer mine", "shop.example")


async def test_an_app_without_a_ready_replica_is_503(gateway: Gateway) -> None:
    port = free_port()
    await gateway.publish(app("http", port=port))
    answer = await gateway.ask("GET", f"http://127.0.0.1:{port}/")
    assert (answer.status, answer.headers["retry-after"]) == (503, "2")


async def test_a_port_is_closed_when_its_app_is_gone(gateway: Gateway, first: Upstream) -> None:
    port = free_port()
    await gateway.publish(app("http", first.endpoint(), port=port))
    assert (await gateway.ask("GET", f"http://127.0.0.1:{port}/")).status == 200
    await gateway.publish()
    await eventually(lambda: _refuses(port))


@pytest.mark.parametrize("protocol", ["http", "websocket"])
async def test_websockets_are_upgraded_and_outlive_a_drain(
    gateway: Gateway, first: Upstream, second: Upstream, protocol: Protocol
) -> None:
    first.answer = second.answer = _echo_websocket
    port = free_port()
    await gateway.publish(app(protocol, first.endpoint(), port=port))
    async with gateway.session.ws_connect(f"http://127.0.0.1:{port}/live") as connection:
        await connection.send_str("hello")
        assert (await connection.receive()).data == "hello"
        await gateway.publish(app(protocol, first.endpoint(draining=True), second.endpoint(), port=port))
        await connection.send_bytes(b"\x00" * 100_000)
        assert (await connection.receive()).data == b"\x00" * 100_000
        assert await gateway.in_flight(first.name) == 1
        async with gateway.session.ws_connect(f"http://127.0.0.1:{port}/live") as newer:
            await newer.send_str("new")
            assert (await newer.receive()).data == "new"
            assert (len(first.seen), len(second.seen)) == (1, 1)


async def test_grpc_is_spread_by_call_over_one_connection(gateway: Gateway) -> None:
    port = free_port()
    async with _grpc_server("app.shop.0") as one, _grpc_server("app.shop.1") as two:
        await gateway.publish(app("grpc", one.endpoint, two.endpoint, port=port))
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            stub: Any = health_pb2_grpc.HealthStub(channel)
            for _ in range(20):
                answer = await stub.Check(health_pb2.HealthCheckRequest(), timeout=10)
                assert answer.status == health_pb2.HealthCheckResponse.SERVING
        assert one.calls + two.calls == 20
        assert min(one.calls, two.calls) > 0


async def test_a_grpc_stream_is_whole_while_its_replica_drains(gateway: Gateway) -> None:
    port = free_port()
    async with _grpc_server("app.shop.0") as one, _grpc_server("app.shop.1") as two:
        await gateway.publish(app("grpc", one.endpoint, port=port))
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            stub: Any = health_pb2_grpc.HealthStub(channel)
            watch = stub.Watch(health_pb2.HealthCheckRequest(service=""), timeout=20)
            assert (await watch.read()).status == health_pb2.HealthCheckResponse.SERVING
            leaving = Endpoint(replica="app.shop.0", address=one.endpoint.address, draining=True)
            await gateway.publish(app("grpc", leaving, two.endpoint, port=port))
            await stub.Check(health_pb2.HealthCheckRequest(), timeout=10)
            assert (one.calls, two.calls) == (1, 1)
            assert await gateway.in_flight("app.shop.0") == 1
            await one.servicer.inner.set("", health_pb2.HealthCheckResponse.NOT_SERVING)
            assert (await watch.read()).status == health_pb2.HealthCheckResponse.NOT_SERVING
            watch.cancel()


async def test_without_a_ready_replica_a_grpc_call_is_unavailable(gateway: Gateway) -> None:
    port = free_port()
    await gateway.publish(app("grpc", port=port))
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        stub: Any = health_pb2_grpc.HealthStub(channel)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.Check(health_pb2.HealthCheckRequest(), timeout=10)
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE


async def test_tcp_is_passed_byte_by_byte_and_counted_by_connection(gateway: Gateway) -> None:
    port = free_port()
    async with _tcp_echo("app.shop.0") as one, _tcp_echo("app.shop.1") as two:
        await gateway.publish(app("tcp", one, port=port))
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"\x00\xff raw")
        assert await reader.readexactly(6) == b"\x00\xff raw"
        await gateway.publish(
            app("tcp", Endpoint(replica=one.replica, address=one.address, draining=True), two, port=port)
        )
        assert await gateway.in_flight("app.shop.0") == 1
        writer.write(b"still there")
        assert await reader.readexactly(11) == b"still there"
        other_reader, other_writer = await asyncio.open_connection("127.0.0.1", port)
        other_writer.write(b"new")
        assert await other_reader.readexactly(3) == b"new"
        assert (await gateway.in_flight("app.shop.0"), await gateway.in_flight("app.shop.1")) == (1, 1)
        for each in (writer, other_writer):
            each.close()
            await each.wait_closed()
        assert await eventually(lambda: _none_in_flight(gateway, "app.shop.0"))


async def test_a_port_whose_protocol_is_mended_is_served_at_once(gateway: Gateway) -> None:
    port = free_port()
    async with _grpc_server("app.shop.0") as server:
        await gateway.publish(app("http", server.endpoint, port=port))
        await gateway.publish(app("grpc", server.endpoint, port=port))
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            stub: Any = health_pb2_grpc.HealthStub(channel)
            answer = await stub.Check(health_pb2.HealthCheckRequest(), timeout=10)
            assert answer.status == health_pb2.HealthCheckResponse.SERVING


async def test_a_port_that_changes_its_protocol_is_followed(gateway: Gateway, first: Upstream) -> None:
    port = free_port()
    async with _tcp_echo("app.shop.0") as echo:
        await gateway.publish(app("tcp", echo, port=port))
        await gateway.publish(app("http", first.endpoint(), port=port))

        async def is_http() -> bool:
            with contextlib.suppress(Exception):
                return (await gateway.ask("GET", f"http://127.0.0.1:{port}/")).status == 200
            return False

        await eventually(is_http)


async def test_two_ports_of_one_app_are_apart(gateway: Gateway) -> None:
    ports = free_port(), free_port()
    async with upstream("a") as one, upstream("b") as two:
        await gateway.publish(
            *(
                Backend(
                    service="app/shop",
                    name="shop",
                    protocol="http",
                    endpoints=(Endpoint(replica="app.shop.0", address=each.address),),
                    listen_port=port,
                    port_name=each.name,
                )
                for each, port in zip((one, two), ports, strict=True)
            )
        )
        answers = [await gateway.ask("GET", f"http://127.0.0.1:{port}/") for port in ports]
        assert [answer.tree["upstream"] for answer in answers] == ["a", "b"]


async def _echo_websocket(request: web.Request) -> web.StreamResponse:
    connection = web.WebSocketResponse()
    await connection.prepare(request)
    async for message in connection:
        if message.type == WSMsgType.TEXT:
            await connection.send_str(message.data)
        elif message.type == WSMsgType.BINARY:
            await connection.send_bytes(message.data)
    return connection


class _CountedHealth:
    """gRPC's own health service, which counts what it is asked."""

    def __init__(self) -> None:
        self.calls = 0
        self.inner: Any = health.aio.HealthServicer()
        self.List = self.inner.List

    async def Check(self, request: Any, context: Any) -> Any:  # noqa: N802 - the name of the method in health.proto
        self.calls += 1
        return await self.inner.Check(request, context)

    async def Watch(self, request: Any, context: Any) -> Any:  # noqa: N802 - the name of the method in health.proto
        self.calls += 1
        return await self.inner.Watch(request, context)


class _GrpcServer:
    def __init__(self, replica: str, port: int, servicer: _CountedHealth) -> None:
        self.endpoint = Endpoint(replica=replica, address=f"127.0.0.1:{port}")
        self.servicer = servicer

    @property
    def calls(self) -> int:
        return self.servicer.calls


@contextlib.asynccontextmanager
async def _grpc_server(replica: str) -> AsyncGenerator[_GrpcServer, None]:
    server = grpc.aio.server()
    servicer = _CountedHealth()
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    await servicer.inner.set("", health_pb2.HealthCheckResponse.SERVING)
    try:
        yield _GrpcServer(replica, port, servicer)
    finally:
        await server.stop(grace=None)


@contextlib.asynccontextmanager
async def _tcp_echo(replica: str) -> AsyncGenerator[Endpoint, None]:
    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(4096):
            writer.write(data)
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    async with server:
        yield Endpoint(replica=replica, address=f"127.0.0.1:{server.sockets[0].getsockname()[1]}")


async def _none_in_flight(gateway: Gateway, replica: str) -> bool:
    return await gateway.in_flight(replica) == 0


async def _refuses(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except ConnectionRefusedError:
        return True
    writer.close()
    return False
