"""The clusters that Envoys ask for because requests wait for them: the on-demand part of cluster discovery.

Called by traffic.envoy.ads. A cluster is sent when it exists. It also comes with all others, over which it is changed
and removed later.
Source: Envoy's xDS protocol, incremental xDS; the method DeltaClusters.

Invariant: Envoy never hears that a cluster which exists does not: it would remove it. Held by
tests/traffic/test_sleep.py::test_a_model_that_was_waited_for_stays_through_a_restart_of_the_control_plane.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from typing import Any

from bateau.traffic.envoy.clusters import generation_of
from bateau.traffic.envoy.delta import response
from bateau.traffic.envoy.resources import CLUSTER, Resource

logger = logging.getLogger(__name__)

METHOD = "/envoy.service.cluster.v3.ClusterDiscoveryService/DeltaClusters"


class _Stream:
    """One Envoy: the names that it has asked for and that were not answered for, and the signal that they may be."""

    def __init__(self) -> None:
        self.names: set[str] = set()
        self.changed = asyncio.Event()
        self.ended = False


class Asked:
    """What all connected Envoys ask for. It calls `on_change` whenever that may have changed."""

    def __init__(self, on_change: Callable[[], None]) -> None:
        self._on_change = on_change
        self._streams: list[_Stream] = []
        self._asleep: Mapping[str, int] = {}
        self._there: Mapping[str, Resource] = {}

    def update(self, asleep: Mapping[str, int], there: Mapping[str, Resource]) -> None:
        """Take the services that sleep, each with its generation, and the clusters that exist, by name."""
        self._asleep, self._there = asleep, there
        for stream in self._streams:
            stream.changed.set()

    def now(self) -> Mapping[str, int]:
        """Return the services that requests wait for, each with the latest generation that one waits for."""
        found: dict[str, int] = {}
        for stream in self._streams:
            for name in stream.names:
                generation = generation_of(name)
                if generation and self._may_wait(name):
                    service, number = generation
                    found[service] = max(number, found.get(service, 0))
        return found

    def end(self) -> None:
        """End every stream."""
        for stream in self._streams:
            stream.ended = True
            stream.changed.set()

    async def serve(self, requests: AsyncIterator[Any]) -> AsyncGenerator[Any]:
        """Serve one Envoy."""
        stream, nonce = _Stream(), 0
        self._streams.append(stream)
        reader = asyncio.create_task(self._read(stream, requests))
        try:
            while not stream.ended:
                await stream.changed.wait()
                stream.changed.clear()
                there = {name: self._there[name] for name in stream.names if name in self._there}
                dead = {name for name in stream.names - there.keys() if not self._may_wait(name)}
                stream.names -= there.keys() | dead
                if there or dead:
                    nonce += 1
                    yield response(CLUSTER, str(nonce), there, sorted(dead))
        finally:
            reader.cancel()
            self._streams.remove(stream)
            self._on_change()

    def _may_wait(self, name: str) -> bool:
        """Whether requests may wait for a cluster: one of a service that sleeps.

        A later generation is that of a control plane that died before it could store it.
        """
        generation = generation_of(name)
        if generation is None or name in self._there:
            return False
        service, number = generation
        return service in self._asleep and number >= self._asleep[service]

    async def _read(self, stream: _Stream, requests: AsyncIterator[Any]) -> None:
        try:
            async for request in requests:
                stream.names |= set(request.resource_names_subscribe)
                stream.names -= set(request.resource_names_unsubscribe)
                stream.changed.set()
                self._on_change()
        except Exception:
            # A bug here ends the stream of one Envoy only. It reconnects and asks again.
            logger.exception("a gateway asks again for the models that it waits for: this is a bug in bateau")
        finally:
            stream.ended = True
            stream.changed.set()
