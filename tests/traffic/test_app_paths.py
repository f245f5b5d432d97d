"""A7: an app's requests reach it as they were sent, byte for byte; the models' endpoint keeps its rules."""

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from bateau.domain.endpoint import Backend, Endpoint
from traffic.gateway import Gateway, free_port

pytestmark = pytest.mark.asyncio(loop_scope="module")


class RawApp:
    """An HTTP server that reads no more of a request than its lines, and remembers them."""

    def __init__(self) -> None:
        self.lines: list[list[str]] = []
        self.address = ""

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while head := await _head(reader):
            self.lines.append(head.decode("latin-1").splitlines())
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
            await writer.drain()
        writer.close()


@pytest_asyncio.fixture(loop_scope="module")
async def app() -> AsyncIterator[RawApp]:
    made = RawApp()
    server = await asyncio.start_server(made.answer, "127.0.0.1", 0)
    async with server:
        made.address = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
        yield made


@pytest_asyncio.fixture(loop_scope="module")
async def port(gateway: Gateway, app: RawApp) -> int:
    number = free_port()
    endpoint = Endpoint(replica="app.files.0", address=app.address)
    await gateway.publish(
        Backend(
            service="app/files",
            name="files",
            protocol="http",
            endpoints=(endpoint,),
            listen_port=number,
            port_name="http",
        )
    )
    return number


@pytest.mark.parametrize(
    "path",
    [
        "/api/projects/group%2Fproject",
        "/proxy/https://example.org/a",
        "//double//slashes//",
        "/a%5Cb",
        "/a%2f%2e%2e%2fb",
        "/a/../b/./c",
        "/a/%2E%2E/b",
        "/%7euser/%C3%A4%20;x=1",
        "/s3/key%25with%252Fall?list-type=2&prefix=a%2Fb//c&empty=",
        "/v2/library/alpine/manifests/sha256:0123",
    ],
)
async def test_the_path_of_an_app_is_its_own(port: int, app: RawApp, path: str) -> None:
    assert (await _ask(port, f"GET {path} HTTP/1.1")).startswith(b"HTTP/1.1 200")
    assert app.lines[0][0] == f"GET {path} HTTP/1.1"


async def test_a_header_with_an_underscore_reaches_the_app(port: int, app: RawApp) -> None:
    await _ask(port, "GET / HTTP/1.1", "x_custom_id: 7")
    assert "x_custom_id: 7" in app.lines[0]


@pytest.mark.parametrize(
    ("request_line", "headers"),
    [
        ("GET /v1%2Fmodels HTTP/1.1", []),
        ("GET /a%5Cb HTTP/1.1", []),
        ("GET /v1/models HTTP/1.1", ["content-length: x"]),
        ("GET /v1/models HTTP/1.1", ["x-large: " + "x" * 70_000]),
        ("GET /v1/models HTTP/1.1", ["connection: upgrade", "upgrade: websocket"]),
    ],
)
async def test_what_the_models_endpoint_rejects_is_json_in_openais_shape(
    gateway: Gateway, request_line: str, headers: list[str]
) -> None:
    answer = await _ask(gateway.port, request_line, *headers)
    assert answer.startswith(b"HTTP/1.1 4"), answer
    assert b"content-type: application/json\r\n" in answer
    assert b'{"error":{' in answer
    assert b'"code":"bad_request"' in answer


async def test_what_an_apps_port_rejects_is_json_too(port: int) -> None:
    answer = await _ask(port, "GET / HTTP/1.1", "content-length: x")
    assert answer.startswith(b"HTTP/1.1 400")
    assert b'"code":"bad_request"' in answer


async def _ask(port: int, request_line: str, *headers: str) -> bytes:
    """Send a request as it is written here, and return the head and the JSON body of the answer."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write("\r\n".join([request_line, "host: localhost", *headers, "", ""]).encode("latin-1"))
    head = await _head(reader)
    length = next(
        (int(line.partition(b":")[2]) for line in head.splitlines() if line.startswith(b"content-length:")), 0
    )
    body = await reader.readexactly(length)
    writer.close()
    return head + body


async def _head(reader: asyncio.StreamReader) -> bytes:
    async with asyncio.timeout(15):
        try:
            return await reader.readuntil(b"\r\n\r\n")
        except (asyncio.IncompleteReadError, ConnectionResetError):
            return b""
