"""The gRPC server of the control channel, against a peer that is silent, and one that closes."""

import asyncio
import socket
from collections.abc import AsyncGenerator, AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import h2.config
import h2.connection
import pytest
from envoy.service.discovery.v3 import discovery_pb2 as _discovery_pb2

from bateau.traffic.envoy.doors import UnixDoor
from bateau.traffic.envoy.streams import StreamServer

discovery_pb2: Any = _discovery_pb2  # generated without type information
METHOD = "/test.Streams/Follow"
WAIT_S = 10.0
LARGE = discovery_pb2.DeltaDiscoveryResponse(nonce="x" * 1_000_000)


class Followed:
    """A method that sends large messages for as long as its peer takes them."""

    def __init__(self) -> None:
        self.begun = asyncio.Event()
        self.ended = asyncio.Event()

    async def serve(self, _requests: AsyncIterator[Any]) -> AsyncGenerator[Any]:
        self.begun.set()
        try:
            while True:
                yield LARGE
        finally:
            self.ended.set()


def server_of(followed: Followed, *, keepalive_s: float) -> StreamServer:
    return StreamServer(
        {METHOD: followed.serve},
        request=discovery_pb2.DeltaDiscoveryRequest,
        response=discovery_pb2.DeltaDiscoveryResponse,
        keepalive_s=keepalive_s,
    )


@pytest.fixture
def followed() -> Followed:
    return Followed()


async def test_a_silent_peer_counts_as_gone(socket_path: str, followed: Followed) -> None:
    server = server_of(followed, keepalive_s=0.2)
    await UnixDoor(Path(socket_path)).open(server)
    peer = socket.socket(socket.AF_UNIX)
    peer.connect(socket_path)
    try:
        peer.sendall(_request())  # it reads nothing
        async with asyncio.timeout(WAIT_S):
            await followed.begun.wait()
            await followed.ended.wait()
    finally:
        await server.stop()
        peer.close()


async def test_a_peer_that_answers_pings_stays(socket_path: str) -> None:
    idle = Idle()
    server = StreamServer(
        {METHOD: idle.serve},
        request=discovery_pb2.DeltaDiscoveryRequest,
        response=discovery_pb2.DeltaDiscoveryResponse,
        keepalive_s=0.1,
    )
    await UnixDoor(Path(socket_path)).open(server)
    async with grpc.aio.insecure_channel(f"unix:{socket_path}") as channel:
        open_stream: Any = channel.stream_stream
        call = open_stream(METHOD, response_deserializer=discovery_pb2.DeltaDiscoveryResponse.FromString)
        responses = call(idle.requests())
        await asyncio.sleep(1.0)
        idle.send.set()
        async with asyncio.timeout(WAIT_S):
            assert (await responses.read()).nonce == "1"
        await server.stop()


async def test_a_peer_is_disconnected_when_the_server_stops(socket_path: str, followed: Followed) -> None:
    server = server_of(followed, keepalive_s=10.0)
    await UnixDoor(Path(socket_path)).open(server)
    reader, writer = await asyncio.open_unix_connection(socket_path)
    writer.write(_request())
    await followed.begun.wait()
    await server.stop()
    async with asyncio.timeout(WAIT_S):
        await reader.read()  # to its end
        await followed.ended.wait()
    writer.close()


class Idle:
    """A method that sends one message when it is told to."""

    def __init__(self) -> None:
        self.send = asyncio.Event()

    async def serve(self, _requests: AsyncIterator[Any]) -> AsyncGenerator[Any]:
        await self.send.wait()
        yield discovery_pb2.DeltaDiscoveryResponse(nonce="1")

    async def requests(self) -> AsyncGenerator[bytes]:
        await self.send.wait()
        yield b""


def _request() -> bytes:
    peer = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True))
    peer.initiate_connection()
    peer.increment_flow_control_window(100_000_000)
    headers = [(":method", "POST"), (":path", METHOD), (":scheme", "http"), (":authority", "test"), ("te", "trailers")]
    peer.send_headers(1, [*headers, ("content-type", "application/grpc")])
    peer.increment_flow_control_window(100_000_000, 1)
    return peer.data_to_send()
