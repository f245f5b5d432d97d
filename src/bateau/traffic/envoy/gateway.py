"""The Envoys in front of a cluster's models, configured over xDS with mutual TLS.

Called by wiring.gateway_feed. control uses it through ports.plane. The cluster itself runs these Envoys, so there is no
process to supervise, and pods drain by their own grace period: no load is measured.

Invariant: until it is known which keys get in, none does. Held by
tests/traffic/test_gateway_keys.py::test_a_controller_that_has_admitted_no_key_lets_nobody_in.
Invariant: a gateway that lacks one of the filters that check keys answers no request. Held by
tests/traffic/test_gateway_keys.py::test_without_its_filters_a_gateway_refuses_every_request.
Invariant: the death of every controller costs no request: the Envoys keep what they have. A new controller opens its
port only with complete traffic. Held by tests/wiring/test_cluster_gateway.py.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from google.protobuf.json_format import ParseError

from bateau.domain.api_key import ApiKey
from bateau.domain.endpoint import PlaneState, Traffic
from bateau.domain.errors import ControlError
from bateau.domain.process import ProcessTemplate
from bateau.domain.system_names import GATEWAY_PORT
from bateau.traffic.envoy.ads import AdsServer
from bateau.traffic.envoy.api import EnvoyApi
from bateau.traffic.envoy.doors import TlsDoor
from bateau.traffic.envoy.fresh_tls import Identity, fresh_context
from bateau.traffic.envoy.listener import FrontSettings
from bateau.traffic.envoy.resources import ResourceBuilder

logger = logging.getLogger(__name__)

# In the pods of the gateways, whose NetworkPolicy decides who connects.
LISTEN: Final = ("0.0.0.0", GATEWAY_PORT)  # noqa: S104


class GatewayPlane:
    """The gateways of one cluster; satisfies `bateau.ports.plane.Plane`.

    `identity` is asked at every connection, so that a new certificate needs no restart. Raises ControlError if `binary`
    is not an Envoy that can read the resources of this plane.
    """

    name = "gateway"

    def __init__(
        self,
        *,
        binary: Path,
        cache: Path,
        address: str,
        identity: Callable[[], Identity],
        listen: tuple[str, int] = LISTEN,
    ) -> None:
        try:
            self._builder = ResourceBuilder(
                api=EnvoyApi(binary, cache),
                listen=listen,
                control_socket=None,
                gateway=self.name,
                front=FrontSettings(keys_by_ads=True),
            )
            self._builder.build(Traffic())
        except (OSError, KeyError, ValueError, ParseError) as error:
            raise ControlError(
                f"{binary} cannot be the gateway: {error}", hint="the gateway needs Envoy 1.40 or newer"
            ) from error
        self._ads = AdsServer(TlsDoor(address, fresh_context(identity)), on_change=self._look)
        self._state = PlaneState(accepted=False, rejected={}, load=None)
        self._failed: dict[str, str] = {}
        self._wakes: list[Callable[[], None]] = []
        self._opening: asyncio.Task[None] | None = None
        self._traffic = Traffic()
        self._keys: Sequence[ApiKey] | None = ()
        self._zones: dict[str, str] = {}  # of the connected gateways, by node id

    def template(self) -> ProcessTemplate | None:
        """Return None: the cluster runs the Envoys."""
        return None

    def admit(self, keys: Sequence[ApiKey] | None) -> None:
        """Let requests with these keys in, and no others, from the next `publish` on; None: nobody needs a key."""
        self._keys = keys

    def publish(self, traffic: Traffic) -> None:
        """Send each gateway the resources that it lacks; the first call opens the port."""
        self._traffic = traffic
        self._send()
        if self._opening is None:
            self._opening = asyncio.get_running_loop().create_task(
                self._ads.keep_open(), name="gateway control channel"
            )
        self._look()

    def _send(self) -> None:
        built = self._builder.build(self._traffic, zones=self._zones, keys=self._keys)
        self._failed = {**built.failed}
        self._ads.update(built.resources)

    def observe(self) -> PlaneState:
        """Return the state that is known now."""
        return self._state

    @property
    def gateways(self) -> int:
        """The number of connected gateways."""
        return len([*self._ads.subscribers])

    def on_change(self, wake: Callable[[], None]) -> None:
        """Call `wake` from the event loop whenever the state has changed."""
        self._wakes.append(wake)

    async def close(self) -> None:
        """Close the port; the gateways keep their configuration."""
        if self._opening:
            self._opening.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._opening
        await self._ads.close()

    def _look(self) -> None:
        """Update the state, and wake the callbacks if it has changed."""
        subscribers = [*self._ads.subscribers]
        zones = {each.node: each.zone for each in subscribers if each.node}
        if zones != self._zones:
            self._zones = zones
            self._send()
        rejected = {**self._ads.rejections(), **self._failed}
        accepted = bool(subscribers) and all(each.settled for each in subscribers)
        before, self._state = self._state, PlaneState(accepted=accepted, rejected=rejected, load=None)
        for service, message in rejected.items():
            if before.rejected.get(service) != message:
                logger.error("a gateway rejected %s and keeps its last good version: %s", service, message)
        if before != self._state:
            for wake in self._wakes:
                wake()
