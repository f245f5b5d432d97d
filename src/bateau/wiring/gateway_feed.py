"""Feed the gateways of a cluster: certificates, the traffic of all namespaces, and the keys that get in.

Called by wiring.controller.

Invariant: nothing is sent before the models of all namespaces and all keys are known: a gateway would remove the
missing ones, or let everybody in. Held by tests/wiring/test_cluster_gateway.py.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bateau.control.cluster_traffic import Space, cluster_traffic
from bateau.domain.api_key import ApiKey
from bateau.domain.endpoint import Traffic
from bateau.domain.errors import ClusterError, bug
from bateau.ports.clock import Clock
from bateau.traffic.envoy.fresh_tls import Identity
from bateau.traffic.envoy.gateway import GatewayPlane
from bateau.wiring.envoy import envoy_binary
from bateau.wiring.gateway_certificates import GatewayCertificates

logger = logging.getLogger(__name__)

_TOGETHER_S: Final = 0.05  # changes within this time are sent together
_RENEW_S: Final = 3600.0
_RETRY_S: Final = 5.0


@dataclass(frozen=True, slots=True)
class Admission:
    """The keys that get in at the gateways; None: nobody needs one."""

    keys: Sequence[ApiKey] | None


class GatewayFeed:
    """Publishes `spaces()` and `admission()` whenever it is woken; None means that they are not known completely."""

    def __init__(
        self,
        certificates: GatewayCertificates,
        clock: Clock,
        *,
        address: str,
        directory: Path,
        environ: Mapping[str, str],
        spaces: Callable[[], Sequence[Space] | None],
        admission: Callable[[], Admission | None],
    ) -> None:
        self._certificates = certificates
        self._clock = clock
        self._address = address
        self._directory = directory
        self._binary = envoy_binary(environ)
        self._spaces = spaces
        self._admission = admission
        self._news = asyncio.Event()
        self._traffic = Traffic()
        self._bugs: Mapping[str, str] = {}  # that are logged
        self._identity: Identity | None = None
        self._plane: GatewayPlane | None = None

    @property
    def gateways(self) -> int:
        """The number of connected gateways."""
        return self._plane.gateways if self._plane else 0

    @property
    def has_certificates(self) -> bool:
        """Whether the certificates of the gateways were made, or read."""
        return self._identity is not None

    def wake(self) -> None:
        """Publish soon."""
        self._news.set()

    async def run(self) -> None:
        """Feed until cancelled. Raises ControlError if this machine's Envoy cannot be used."""
        identity = await self._renewed()
        while identity is None:
            await asyncio.sleep(_RETRY_S)
            identity = await self._renewed()
        first = self._identity = identity
        plane = self._plane = GatewayPlane(
            binary=self._binary,
            cache=self._directory,
            address=self._address,
            identity=lambda: self._identity or first,
        )
        plane.on_change(self.wake)
        renewed_at = self._clock.monotonic()
        try:
            while True:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(_RENEW_S):
                        await self._news.wait()
                await asyncio.sleep(_TOGETHER_S)
                self._news.clear()
                self._publish(plane)
                if self._clock.monotonic() - renewed_at >= _RENEW_S:
                    self._identity = await self._renewed() or self._identity
                    renewed_at = self._clock.monotonic()
        finally:
            await plane.close()

    def _publish(self, plane: GatewayPlane) -> None:
        """Publish the traffic, if all of it is known. A bug leaves the gateways as they are."""
        try:
            spaces, admission = self._spaces(), self._admission()
            if spaces is None or admission is None:
                return
            plane.admit(admission.keys)
            self._traffic, failed = cluster_traffic(spaces, self._traffic)
            plane.publish(self._traffic)
        except Exception as error:  # noqa: BLE001 - it is logged below
            failed = {"the traffic of the gateways": error}
        for service, error in failed.items():
            if self._bugs.get(service) != repr(error):
                logger.error("%s stays as it was: %s", service, bug(error), exc_info=error)
        self._bugs = {service: repr(error) for service, error in failed.items()}

    async def _renewed(self) -> Identity | None:
        """Return the certificates that are valid now; None if they cannot be read or made."""
        try:
            found = await self._certificates.current()
        except ClusterError as error:
            logger.error("the gateways' certificates cannot be kept: %s", error.message)
            return None
        return Identity(certificate=found.pair.certificate, key=found.pair.key, authorities=found.authorities)
