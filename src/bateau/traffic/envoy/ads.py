"""Serve resources to every connected Envoy over one ordered stream each (delta ADS).

Called by traffic.envoy.gateway and traffic.envoy.plane. The module delta decides which messages each Envoy gets, and
when; this module moves them.

Invariant: the socket opens only after the first resources are known. A server without state would answer that all the
resources of an Envoy are gone. Held by
tests/traffic/test_control_channel.py::test_the_channel_opens_only_with_something_to_say.
Invariant: an Envoy that is slow, silent or broken delays no other Envoy, and nothing waits for it. Held by
tests/traffic/test_contained.py::test_a_stopped_proxy_blocks_nothing.
Invariant: an idle channel stays open. Held by
tests/traffic/test_control_channel.py::test_an_idle_channel_stays_open.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Collection, Iterator, Mapping
from typing import Any

from envoy.service.discovery.v3 import discovery_pb2 as _discovery_pb2

from bateau.traffic.envoy.asked import METHOD as ASKED_METHOD
from bateau.traffic.envoy.asked import Asked
from bateau.traffic.envoy.delta import Subscriber
from bateau.traffic.envoy.doors import Door
from bateau.traffic.envoy.resources import Resources
from bateau.traffic.envoy.streams import StreamServer

logger = logging.getLogger(__name__)

# Generated without type information.
discovery_pb2: Any = _discovery_pb2

_METHOD = "/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources"
_REOPEN_S = 1.0


class _Stream:
    """One connected Envoy, and the signal that its outbox has messages."""

    def __init__(self, subscriber: Subscriber) -> None:
        self.subscriber = subscriber
        self.changed = asyncio.Event()
        self.ended = False


class AdsServer:
    """A delta ADS server. It calls `on_change` after each message from an Envoy, and when an Envoy disconnects."""

    def __init__(
        self, door: Door, *, on_change: Callable[[], None], replaced_before: Callable[[], bool] = lambda: True
    ) -> None:
        self._door = door
        self._replaced_before = replaced_before
        self._on_change = on_change
        self._resources: Resources = {}
        self._draining: Collection[str] = ()
        self._streams: list[_Stream] = []
        self.asked = Asked(on_change)
        self._server: StreamServer | None = None

    @property
    def subscribers(self) -> Iterator[Subscriber]:
        """The connected Envoys whose node id is known."""
        return (stream.subscriber for stream in self._streams if stream.subscriber.node is not None)

    def update(self, resources: Resources, *, draining: Collection[str] = ()) -> None:
        """Replace the resources that every Envoy should have. Nodes in `draining` get no listeners."""
        self._resources, self._draining = resources, draining
        for stream in self._streams:
            stream.subscriber.update(resources, draining=draining)
            stream.changed.set()

    def rejections(self) -> Mapping[str, str]:
        """Return why an Envoy has rejected a part, by the service that the part belongs to."""
        found: dict[str, str] = {}
        for subscriber in self.subscribers:
            for resource, message in subscriber.rejections():
                found.setdefault(resource.service, message)
        return found

    def retry(self) -> None:
        """Send all rejected resources again."""
        for stream in self._streams:
            stream.subscriber.retry()
            stream.changed.set()

    @property
    def is_lost(self) -> bool:
        """Whether another program has removed the open socket."""
        return self._server is not None and self._door.is_lost

    async def open(self) -> None:
        """Open the door. Raises OSError."""
        server = StreamServer(
            {_METHOD: self._serve, ASKED_METHOD: self.asked.serve},
            request=discovery_pb2.DeltaDiscoveryRequest,
            response=discovery_pb2.DeltaDiscoveryResponse,
        )
        await self._door.open(server)
        self._server = server

    async def keep_open(self) -> None:
        """Open the door, and try again until that succeeds."""
        says = ""
        while True:
            try:
                return await self.open()
            except OSError as error:
                if str(error) != says:
                    logger.error("the gateway's control channel cannot be opened, and Bateau tries again: %s", error)
                says = str(error)
            await asyncio.sleep(_REOPEN_S)

    async def close(self) -> None:
        """Close the door. Envoys keep their resources and reconnect when it is open again."""
        if self._server:
            for stream in self._streams:
                stream.ended = True
                stream.changed.set()
            self.asked.end()
            await self._server.stop()
            self._server = None
            self._door.closed()

    async def _serve(self, requests: AsyncIterator[Any]) -> AsyncGenerator[Any]:
        stream = _Stream(Subscriber(self._resources, draining=self._draining, replaced_before=self._replaced_before()))
        self._streams.append(stream)
        reader = asyncio.create_task(self._read(stream, requests))
        try:
            while not stream.ended:
                await stream.changed.wait()
                stream.changed.clear()
                while stream.subscriber.outbox:
                    yield stream.subscriber.outbox.popleft()
        finally:
            reader.cancel()
            self._streams.remove(stream)
            self._on_change()

    async def _read(self, stream: _Stream, requests: AsyncIterator[Any]) -> None:
        try:
            async for request in requests:
                stream.subscriber.receive(request)
                stream.changed.set()
                self._on_change()
        except Exception:
            # A bug here ends the stream of one Envoy only. It reconnects and gets the resources that it lacks.
            logger.exception("the control channel of one gateway is reopened: this is a bug in bateau")
        finally:
            stream.ended = True
            stream.changed.set()
