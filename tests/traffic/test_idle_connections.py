"""A8: apps close idle connections; the gateway closes them first, and asks again where that is safe."""

import asyncio
import time
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from bateau.domain.endpoint import Backend, Endpoint, Protocol
from traffic.gateway import Gateway, eventually, free_port

pytestmark = pytest.mark.asyncio(loop_scope="module")


class HangingUp:
    """An app that answers the first request of a connection, and hangs up on the second, as one whose timer ran out."""

    def __init__(self) -> None:
        self.address = ""
        self.methods: list[str] = []
        self.idle_s: list[float] = []

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        first = await _request(reader)
        self.methods.append(first)
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
        answered = time.monotonic()
        if second := await _request(reader):
            self.methods.append(second)
        else:
            self.idle_s.append(time.monotonic() - answered)
        writer.close()


@pytest_asyncio.fixture(loop_scope="module")
async def app() -> AsyncIterator[HangingUp]:
    made = HangingUp()
    server = await asyncio.start_server(made.answer, "127.0.0.1", 0)
    async with server:
        made.address = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
        yield made


async def serve(gateway: Gateway, app: HangingUp, protocol: Protocol = "http") -> str:
    port = free_port()
    endpoint = Endpoint(replica="app.five.0", address=app.address)
    await gateway.publish(
        Backend(
            service="app/five",
            name="five",
            protocol=protocol,
            endpoints=(endpoint,),
            listen_port=port,
            port_name="http",
            reuses_connections=True,
        )
    )
    return f"http://127.0.0.1:{port}/"


@pytest.mark.parametrize("protocol", ["http", "websocket"])
async def test_the_gateway_closes_an_idle_connection_before_any_common_server_does(
    gateway: Gateway, app: HangingUp, protocol: Protocol
) -> None:
    url = await serve(gateway, app, protocol)
    assert (await gateway.ask("GET", url)).status == 200
    await eventually(lambda: _closed(app))
    assert app.idle_s[0] < 2.0, "gunicorn closes after 2 s, Node and uvicorn after 5 s"


@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_a_safe_request_that_met_a_closing_connection_is_sent_again(
    gateway: Gateway, app: HangingUp, method: str
) -> None:
    url = await serve(gateway, app)
    assert [(await gateway.ask(method, url)).status for _ in range(6)] == [200] * 6
    assert len(app.methods) > 6, "no request met a closing connection"


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
async def test_any_other_request_is_not_and_the_answer_says_what_happened(
    gateway: Gateway, app: HangingUp, method: str
) -> None:
    url = await serve(gateway, app)
    answers = [await gateway.ask(method, url, data=b"x") for _ in range(2)]
    assert [answer.status for answer in answers] == [200, 503]
    error = answers[1].error
    assert error["code"] == "connection_closed"
    assert "'app/five/http' closed the connection before it answered" in error["message"]
    assert "may have been processed" in error["message"]
    assert "retry-after" not in answers[1].headers
    assert app.methods == [method, method]


async def _request(reader: asyncio.StreamReader) -> str:
    """Return the method of the next request; nothing where the connection ends."""
    try:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
    except (asyncio.IncompleteReadError, ConnectionResetError):
        return ""
    length = next((int(line[15:]) for line in head.lower().splitlines() if line.startswith("content-length:")), 0)
    await reader.readexactly(length)
    return head.partition(" ")[0]


async def _closed(app: HangingUp) -> bool:
    return bool(app.idle_s)
