"""Serve resources to Envoy over one ordered stream (delta ADS), on a unix socket.

Called by plane. A resource set goes in, and what each connected Envoy lacks goes out, type by type.
Source: Envoy's "xDS REST and gRPC protocol", incremental xDS.

Invariant: the socket opens only after the first `serve`: an Envoy that asked a server without state would be told
that everything it has is gone.
Invariant: types go out in the order clusters, endpoints, secrets, listeners, routes, each waiting for the last to be
acknowledged, so that no route names a cluster that is not ready.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
from envoy.service.discovery.v3 import discovery_pb2 as _discovery_pb2

from bateau.traffic.envoy.resources import CLUSTER, ENDPOINTS, LISTENER, ROUTES, SECRET, Resources

logger = logging.getLogger(__name__)

# Generated without type information.
discovery_pb2: Any = _discovery_pb2

_METHOD = "/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources"
_ORDER = (CLUSTER, ENDPOINTS, SECRET, LISTENER, ROUTES)
_WILDCARD_TYPES = frozenset({CLUSTER, LISTENER})
_ACKNOWLEDGE_S = 5.0


@dataclass
class _Subscription:
    """What one Envoy asked for of one type, and what it has."""

    names: set[str] = field(default_factory=set[str])
    wildcard: bool = False
    sent: dict[str, str] = field(default_factory=dict[str, str])
    pending: dict[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])  # names by nonce
    answered: bool = False


class _Stream:
    """One connected Envoy."""

    def __init__(self) -> None:
        self.subscriptions: dict[str, _Subscription] = {}
        self.outbox: asyncio.Queue[Any] = asyncio.Queue()
        self.settled = asyncio.Condition()
        self.nonce = 0
        self.clusters_renewed: set[str] = set()


class AdsServer:
    """A delta ADS server for the Envoys of this machine."""

    def __init__(self, socket: Path, *, on_rejected: Callable[[str], None]) -> None:
        self._socket = socket
        self._on_rejected = on_rejected
        self.rejections: dict[str, str] = {}  # what Envoy would not take, by the name of the resource
        self._resources: Resources = {}
        self._streams: set[_Stream] = set()
        self._server: grpc.aio.Server | None = None

    async def serve(self, resources: Resources) -> None:
        """Make `resources` what every Envoy has; returns when those connected have said so, or after 5 s a type."""
        # First everything that is new, with the old still there; then the routes; then what is gone goes.
        widened = {
            type_url: {**self._resources.get(type_url, {}), **resources[type_url]}
            for type_url in (CLUSTER, ENDPOINTS, SECRET)
        }
        self._resources = {**resources, **widened}
        if self._server is None:
            self._resources = resources
            await self._open()
        for type_url in _ORDER:
            await self._push(type_url)
        if self._resources != resources:
            self._resources = resources
            for type_url in (ENDPOINTS, CLUSTER, SECRET):
                await self._push(type_url)

    @property
    def acknowledged(self) -> bool:
        """Whether an Envoy is connected, and every one that is has said that it has all clusters and endpoints."""
        return bool(self._streams) and all(self._has_all(stream) for stream in self._streams)

    async def close(self) -> None:
        """Close the socket. Envoys keep what they have and ask again when it is back."""
        if self._server:
            for stream in self._streams:
                stream.outbox.put_nowait(None)
            await self._server.stop(grace=1.0)
            self._socket.unlink(missing_ok=True)

    def _has_all(self, stream: _Stream) -> bool:
        for type_url in (CLUSTER, ENDPOINTS):
            there = self._resources.get(type_url, {})
            subscription = stream.subscriptions.get(type_url, _Subscription())
            if subscription.pending or any(subscription.sent.get(n) != r.version for n, r in there.items()):
                return False
        return CLUSTER in stream.subscriptions

    async def _open(self) -> None:
        self._socket.unlink(missing_ok=True)
        server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
        handler: Any = grpc.stream_stream_rpc_method_handler(
            self._stream,
            request_deserializer=discovery_pb2.DeltaDiscoveryRequest.FromString,
            response_serializer=discovery_pb2.DeltaDiscoveryResponse.SerializeToString,
        )
        service, method = _METHOD.strip("/").split("/")
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, {method: handler}),))
        server.add_insecure_port(f"unix:{self._socket}")
        await server.start()
        self._socket.chmod(0o600)
        self._server = server

    async def _stream(self, requests: AsyncIterator[Any], _context: Any) -> AsyncIterator[Any]:
        stream = _Stream()
        self._streams.add(stream)
        reader = asyncio.create_task(self._read(stream, requests))
        try:
            while (response := await stream.outbox.get()) is not None:
                yield response
        finally:
            reader.cancel()
            self._streams.discard(stream)
            async with stream.settled:
                stream.settled.notify_all()

    async def _read(self, stream: _Stream, requests: AsyncIterator[Any]) -> None:
        try:
            async for request in requests:
                await self._take(stream, request)
        except (grpc.RpcError, grpc.aio.AioRpcError, asyncio.CancelledError):
            pass
        finally:
            stream.outbox.put_nowait(None)

    async def _take(self, stream: _Stream, request: Any) -> None:
        type_url: str = request.type_url
        first = type_url not in stream.subscriptions
        subscription = stream.subscriptions.setdefault(type_url, _Subscription())
        if first:
            subscription.sent.update(request.initial_resource_versions)
            subscription.wildcard = type_url in _WILDCARD_TYPES and not request.resource_names_subscribe
        for name in request.resource_names_subscribe:
            if name == "*":
                subscription.wildcard = True
                continue
            subscription.names.add(name)
            # Asked for again: the Envoy has dropped it, whatever it had before.
            if not first:
                subscription.sent.pop(name, None)
        for name in request.resource_names_unsubscribe:
            subscription.names.discard(name)
            subscription.sent.pop(name, None)
        if request.response_nonce in subscription.pending:
            names = subscription.pending.pop(request.response_nonce)
            if request.HasField("error_detail"):
                message = str(request.error_detail.message)
                self._on_rejected(message)
                # One answer may be for many resources; the message names those at fault.
                at_fault = [name for name in names if name in message] or names
                self.rejections.update(dict.fromkeys(at_fault, message))
                # No version is the empty one, so the next push tries again: a port that was taken may be free then.
                subscription.sent.update(dict.fromkeys(names, ""))
            else:
                for name in names:
                    self.rejections.pop(name, None)
            async with stream.settled:
                stream.settled.notify_all()
        if request.resource_names_subscribe or first:
            self._send(stream, type_url, asked=tuple(request.resource_names_subscribe))

    async def _push(self, type_url: str) -> None:
        streams = tuple(self._streams)
        for stream in streams:
            self._send(stream, type_url)
        for stream in streams:
            subscription = stream.subscriptions.get(type_url)
            if subscription is None:
                continue
            try:
                async with asyncio.timeout(_ACKNOWLEDGE_S), stream.settled:
                    await stream.settled.wait_for(
                        lambda s=stream, p=subscription: not p.pending or s not in self._streams
                    )
            except TimeoutError:
                logger.warning(
                    "the gateway has not acknowledged %s within %s s", type_url.rsplit(".", 1)[-1], _ACKNOWLEDGE_S
                )

    def _send(self, stream: _Stream, type_url: str, *, asked: tuple[str, ...] = ()) -> None:
        """Queue what the stream lacks of a type."""
        subscription = stream.subscriptions.get(type_url)
        if subscription is None:
            return
        there = self._resources.get(type_url, {})
        wanted = {n: r for n, r in there.items() if subscription.wildcard or n in subscription.names}
        renewed = stream.clusters_renewed if type_url == ENDPOINTS else set[str]()
        changed = {n: r for n, r in wanted.items() if subscription.sent.get(n) != r.version or n in renewed}
        gone = [name for name in subscription.sent if name not in wanted]
        # A name that is not there has to be answered once, or the one who asked waits for it.
        gone += [name for name in asked if name != "*" and name not in there and name not in gone]
        if not changed and not gone and subscription.answered:
            return
        subscription.answered = True
        stream.nonce += 1
        response = discovery_pb2.DeltaDiscoveryResponse(
            type_url=type_url, nonce=str(stream.nonce), removed_resources=gone
        )
        for name, resource in changed.items():
            added = response.resources.add(name=name, version=resource.version)
            added.resource.type_url = type_url
            added.resource.value = resource.body
        had = subscription.sent.keys() & changed.keys()
        subscription.sent.update({name: r.version for name, r in changed.items()})
        for name in gone:
            subscription.sent.pop(name, None)
        subscription.pending[str(stream.nonce)] = tuple(changed)
        stream.outbox.put_nowait(response)
        if type_url == CLUSTER:
            # A cluster that is replaced waits for its endpoints, though Envoy has them and does not ask again; until
            # they come it acknowledges no cluster.
            stream.clusters_renewed |= had
            self._send(stream, ENDPOINTS)
        elif type_url == ENDPOINTS:
            stream.clusters_renewed -= changed.keys()
