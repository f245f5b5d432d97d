"""A delta xDS client whose every message is the test's: what a proxy says, in the order that the test wants."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
from envoy.service.discovery.v3 import discovery_pb2 as _discovery_pb2

from bateau.traffic.envoy.resources import Resource

discovery_pb2: Any = _discovery_pb2  # generated without type information

_METHOD = "/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources"
_ANSWER_S = 5.0
_SILENCE_S = 0.15


def resource(version: str, service: str = "model/chat") -> Resource:
    return Resource(version, f"body {version}".encode(), service)


def sent(response: Any) -> dict[str, str]:
    """Return the versions in a response by name."""
    return {each.name: each.version for each in response.resources}


class XdsClient:
    """One proxy. It subscribes, acknowledges and rejects when told, and keeps what it has accepted in `has`."""

    def __init__(self, door: Path | grpc.aio.Channel, node: str = "gateway.envoy.0", zone: str = "") -> None:
        self.has: dict[str, dict[str, str]] = {}
        self._node = {"id": node, "locality": {"zone": zone}}
        self._channel = grpc.aio.insecure_channel(f"unix:{door}") if isinstance(door, Path) else door
        self._requests: asyncio.Queue[Any] = asyncio.Queue()
        self._responses: asyncio.Queue[Any] = asyncio.Queue()
        call: Any = self._channel.stream_stream(
            _METHOD,
            request_serializer=discovery_pb2.DeltaDiscoveryRequest.SerializeToString,
            response_deserializer=discovery_pb2.DeltaDiscoveryResponse.FromString,
        )
        self._call: Any = call(self._outgoing())
        self._reader = asyncio.create_task(self._read())

    async def subscribe(
        self,
        type_url: str,
        *names: str,
        versions: Mapping[str, str] | None = None,
        drop: Sequence[str] = (),
    ) -> None:
        """Ask for names, or for everything of a type; `versions` is what a reconnected proxy has already."""
        await self._send(
            type_url=type_url,
            resource_names_subscribe=names,
            resource_names_unsubscribe=drop,
            initial_resource_versions=versions or {},
        )

    async def next(self) -> Any:
        """Return the next response; the test fails where none comes."""
        async with asyncio.timeout(_ANSWER_S):
            return await self._responses.get()

    async def silence(self) -> None:
        """Make sure that nothing comes for a while."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_SILENCE_S):
                raise AssertionError(await self._responses.get())

    async def acknowledge(self, response: Any) -> None:
        held = self.has.setdefault(response.type_url, {})
        held.update(sent(response))
        for name in response.removed_resources:
            held.pop(name, None)
        await self._send(type_url=response.type_url, response_nonce=response.nonce)

    async def reject(self, response: Any, message: str) -> None:
        detail = {"code": grpc.StatusCode.INTERNAL.value[0], "message": message}
        await self._send(type_url=response.type_url, response_nonce=response.nonce, error_detail=detail)

    async def follow(self, *types: str) -> None:
        """Subscribe to all of some types, and acknowledge everything until there is silence."""
        for type_url in types:
            await self.subscribe(type_url)
        with contextlib.suppress(TimeoutError):
            while True:
                async with asyncio.timeout(_SILENCE_S):
                    response = await self._responses.get()
                await self.acknowledge(response)

    async def close(self) -> None:
        self._call.cancel()
        await self._reader
        await self._channel.close()

    async def _send(self, **fields: Any) -> None:
        await self._requests.put(discovery_pb2.DeltaDiscoveryRequest(node=self._node, **fields))

    async def _read(self) -> None:
        with contextlib.suppress(grpc.RpcError, asyncio.CancelledError):
            async for response in self._call:
                self._responses.put_nowait(response)

    async def _outgoing(self) -> AsyncIterator[Any]:
        while True:
            yield await self._requests.get()
