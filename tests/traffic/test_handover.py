"""Two Envoys on the same ports: one takes over from the other, and nothing is lost."""

import asyncio
import contextlib
import signal
import socket
from collections.abc import AsyncIterator, Generator
from dataclasses import replace
from typing import Self

import pytest
import pytest_asyncio
from aiohttp import ClientError, ClientSession, TCPConnector, WSMsgType, web

from bateau.domain.endpoint import Backend
from bateau.traffic.envoy import clusters
from bateau.traffic.envoy.handover import steer
from traffic.gateway import REPLICA, Gateway, eventually, free_port, model, native_library, running_gateway
from traffic.load import Load
from traffic.upstream import Handler, Stream, Upstream

pytestmark = pytest.mark.asyncio(loop_scope="module")

NEXT = "gateway.envoy.1"
CONNECTIONS = 100


@pytest_asyncio.fixture(loop_scope="module")
async def gateway() -> AsyncIterator[Gateway]:
    """A gateway of one test only: its proxies change."""
    async with running_gateway(native_library()) as made:
        yield made


class Fresh:
    """Clients that open a connection for each request, for the length of a block."""

    def __init__(self, gateway: Gateway, *, clients: int = 8) -> None:
        self._gateway = gateway
        self._clients = clients
        self._over = False
        self._tasks: list[asyncio.Task[None]] = []
        self.good = 0
        self.bad: list[str] = []

    async def __aenter__(self) -> Self:
        self._tasks = [asyncio.create_task(self._client()) for _ in range(self._clients)]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._over = True
        await asyncio.gather(*self._tasks)

    async def _client(self) -> None:
        while not self._over:
            try:
                reader, writer = await asyncio.open_connection("127.0.0.1", self._gateway.port)
                writer.write(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n")
                head = await reader.readuntil(b"\r\n\r\n")
                writer.close()
            except (OSError, asyncio.IncompleteReadError) as error:
                self.bad.append(repr(error))
                continue
            if head.startswith(b"HTTP/1.1 200"):
                self.good += 1
            else:
                self.bad.append(head.decode())


async def hand_over(gateway: Gateway, *backends: Backend) -> None:
    """Start the next proxy, and have the first one drain."""
    await gateway.start(NEXT)
    await gateway.publish(*backends)
    gateway.drain(REPLICA)
    await gateway.publish(*backends)


async def test_a_handover_loses_no_connection_request_stream_or_websocket(
    gateway: Gateway, first: Upstream, second: Upstream
) -> None:
    stream = Stream()
    second.answer = _echo_or(stream)
    port = free_port()
    backends = (model("chat", first.endpoint()), model("slow", second.endpoint()), _app(port, second))
    await gateway.publish(*backends)
    async with (
        Load(gateway) as kept_alive,
        Fresh(gateway) as fresh,
        gateway.session.post("/v1/chat/completions", json={"model": "slow"}) as response,
        gateway.session.ws_connect(f"http://127.0.0.1:{port}/live") as websocket,
    ):
        await kept_alive.more(20)
        await hand_over(gateway, *backends)
        await kept_alive.more(20)
        assert await gateway.in_flight(REPLICA) == 2, "the stream and the websocket"
        await websocket.send_str("still there")
        assert (await websocket.receive()).data == "still there"
        stream.send(b"whole")
        stream.end()
        assert await response.read() == b"whole"
        await websocket.close()
        await eventually(lambda: _has_nothing_left(gateway))
        await gateway.end(REPLICA, signal.SIGTERM)
        await gateway.publish(*backends)
        await kept_alive.more(20)
    assert (kept_alive.tally.bad, fresh.bad) == ([], [])
    assert fresh.good > 0


async def test_a_draining_proxy_takes_no_new_connection_on_any_port(gateway: Gateway, first: Upstream) -> None:
    port = free_port()
    backends = (model("chat", first.endpoint()), _app(port, first))
    await gateway.publish(*backends)
    gateway.drain(REPLICA)
    await gateway.publish(*backends)
    for each in (gateway.port, port):
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", each)


async def test_a_client_is_asked_to_connect_again_with_its_next_answer(gateway: Gateway, first: Upstream) -> None:
    backends = (model("chat", first.endpoint()),)
    await gateway.publish(*backends)
    async with ClientSession(gateway.url, connector=TCPConnector(limit=1)) as client:
        async with client.get("/healthz") as answer:
            assert "connection" not in answer.headers
        await hand_over(gateway, *backends)
        async with client.get("/healthz") as answer:
            assert (answer.status, answer.headers["connection"]) == (200, "close")
        async with client.get("/healthz") as answer:
            assert (answer.status, "connection" in answer.headers) == (200, False)


async def test_what_is_in_flight_on_a_proxy_that_does_not_answer_is_unknown(gateway: Gateway, first: Upstream) -> None:
    backends = (model("chat", first.endpoint()),)
    await gateway.publish(*backends)
    await hand_over(gateway, *backends)
    assert await gateway.in_flight(REPLICA) == 0
    gateway.send(REPLICA, signal.SIGSTOP)
    await eventually(lambda: _load_is_unknown(gateway))
    gateway.send(REPLICA, signal.SIGCONT)
    assert await gateway.in_flight(REPLICA) == 0


async def test_requests_of_a_replaced_cluster_make_the_load_unknown_until_they_end(
    gateway: Gateway, first: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An upgrade may define a cluster differently: Envoy keeps its requests, and no longer lists them."""
    stream = Stream()
    first.answer = stream.answer
    backends = (model("chat", first.endpoint()),)
    await gateway.publish(*backends)
    async with gateway.session.post("/v1/chat/completions", json={"model": "chat"}) as response:
        stream.send(b"1")
        assert await response.content.readexactly(1) == b"1"
        assert await gateway.in_flight(first.endpoint().replica) == 1
        monkeypatch.setattr(clusters, "REPLICA_CONNECTIONS_MAX", 7)
        await gateway.restart_control(*backends)
        gateway.plane.publish(replace(gateway.published, measure_load=True))
        for _ in range(8):
            await asyncio.sleep(0.25)
            assert await _load_is_unknown(gateway)
        stream.send(b"2")
        stream.end()
        assert await response.read() == b"2"
    assert await gateway.in_flight(first.endpoint().replica) == 0


async def test_a_new_control_plane_goes_on_with_a_handover(gateway: Gateway, first: Upstream) -> None:
    stream = Stream()
    first.answer = stream.answer
    backends = (model("chat", first.endpoint()),)
    await gateway.publish(*backends)
    async with gateway.session.post("/v1/chat/completions", json={"model": "chat"}) as response:
        stream.send(b"1")
        assert await response.content.readexactly(1) == b"1"
        await hand_over(gateway, *backends)
        await gateway.restart_control(*backends)
        assert await gateway.in_flight(REPLICA) == 1
        stream.send(b"2")
        stream.end()
        assert await response.read() == b"2"
    await eventually(lambda: _has_nothing_left(gateway))


@pytest.mark.parametrize("leaving", [0, 1])
async def test_new_connections_go_to_the_last_sockets_of_a_port_whichever_of_the_others_closes_first(
    leaving: int,
) -> None:
    port = free_port()
    with contextlib.ExitStack() as sockets:
        old = [sockets.enter_context(_listening(port)) for _ in range(2)]
        new = [sockets.enter_context(_listening(port)) for _ in range(2)]
        assert all(_connections(port, old + new))
        assert steer("127.0.0.1", port, sockets=2)
        assert _connections(port, old + new) == [0, 0, CONNECTIONS, 0]
        old.pop(leaving).close()
        assert _connections(port, old + new) == [0, CONNECTIONS, 0]
        old.pop().close()
        assert all(_connections(port, new)), "all share again"


async def test_nothing_is_steered_where_nobody_else_listens() -> None:
    port = free_port()
    assert not steer("127.0.0.1", port, sockets=2)
    with _listening(port) as only:
        assert not steer("127.0.0.1", port, sockets=1)
        assert _connections(port, [only]) == [CONNECTIONS]


@contextlib.contextmanager
def _listening(port: int) -> Generator[socket.socket, None, None]:
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        listener.bind(("127.0.0.1", port))
        listener.listen(2 * CONNECTIONS)
        listener.setblocking(False)
        yield listener


def _connections(port: int, listeners: list[socket.socket]) -> list[int]:
    """Connect many times, and return how many connections each socket got."""
    with contextlib.ExitStack() as clients:
        for _ in range(CONNECTIONS):
            clients.enter_context(socket.create_connection(("127.0.0.1", port), timeout=5))
        found: list[int] = []
        for listener in listeners:
            accepted = 0
            with contextlib.suppress(BlockingIOError):
                while True:
                    listener.accept()[0].close()
                    accepted += 1
            found.append(accepted)
    return found


def _app(port: int, upstream: Upstream) -> Backend:
    return Backend(
        service="app/shop",
        name="shop",
        protocol="websocket",
        endpoints=(upstream.endpoint(),),
        listen_port=port,
        port_name="live",
    )


def _echo_or(stream: Stream) -> Handler:
    async def answer(request: web.Request) -> web.StreamResponse:
        if "upgrade" not in request.headers:
            return await stream.answer(request)
        connection = web.WebSocketResponse()
        await connection.prepare(request)
        with contextlib.suppress(ClientError):
            async for message in connection:
                if message.type == WSMsgType.TEXT:
                    await connection.send_str(message.data)
        return connection

    return answer


async def _has_nothing_left(gateway: Gateway) -> bool:
    return await gateway.in_flight(REPLICA) == 0


async def _load_is_unknown(gateway: Gateway) -> bool:
    return gateway.plane.observe().load is None
