"""A gRPC server whose methods are streams of messages in both directions.

Called by traffic.envoy.ads.

Refused: grpcio. Its threads wake up eleven times a second while nothing happens. grpclib runs in the event loop.
Invariant: a peer that is silent counts as gone, even if messages for it wait. Held by
tests/traffic/test_stream_server.py::test_a_silent_peer_counts_as_gone.
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from typing import Any, Final
from weakref import WeakSet

import grpclib.server
from grpclib.config import Configuration
from grpclib.const import Cardinality, Handler
from grpclib.protocol import H2Protocol

# Without an answer to a ping within this time, a peer counts as gone: a stopped process keeps its connection open.
KEEPALIVE_S: Final = 10.0
_CLOSE_S: Final = 1.0

Serve = Callable[[AsyncIterator[Any]], AsyncGenerator[Any]]


class StreamServer(grpclib.server.Server):
    """Serves methods by their paths; each gets the requests of one stream and yields the responses.

    `request` and `response` are the protobuf classes of the messages. `start` opens it, as in grpclib.
    """

    def __init__(
        self, methods: Mapping[str, Serve], *, request: Any, response: Any, keepalive_s: float = KEEPALIVE_S
    ) -> None:
        self._methods = methods
        self._types = (request, response)
        self._silent_s = 2 * keepalive_s
        self._connections: WeakSet[H2Protocol] = WeakSet()
        self._open = 0
        self._all_ended = asyncio.Event()
        self._all_ended.set()
        super().__init__(
            [self],
            config=Configuration(
                _keepalive_time=keepalive_s,
                _keepalive_timeout=keepalive_s,
                _http2_max_pings_without_data=0,
                _http2_min_sent_ping_interval_without_data=keepalive_s / 2,
            ),
        )

    def __mapping__(self) -> dict[str, Handler]:
        """Return the methods as grpclib asks for them."""
        return {
            path: Handler(self._handler(serve), Cardinality.STREAM_STREAM, *self._types)
            for path, serve in self._methods.items()
        }

    async def stop(self) -> None:
        """Close the address and all connections. Streams have a second to end by themselves before that."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_CLOSE_S):
                await self._all_ended.wait()
        self.close()
        for each in self._connections:
            if hasattr(each, "processor"):
                each.processor.close()

    def _protocol_factory(self) -> H2Protocol:
        made = super()._protocol_factory()
        self._connections.add(made)
        return made

    def _handler(self, serve: Serve) -> Callable[[Any], Any]:
        async def handle(stream: grpclib.server.Stream[Any, Any]) -> None:
            self._open += 1
            self._all_ended.clear()
            try:
                async with contextlib.aclosing(serve(stream)) as responses:
                    async for response in responses:
                        # A ping closes the connection of a silent peer, but does not wake whoever writes to it.
                        async with asyncio.timeout(self._silent_s):
                            await stream.send_message(response)
            finally:
                self._open -= 1
                if not self._open:
                    self._all_ended.set()

        return handle
