"""Keep the certificates of a cluster's control channel in Secrets, and replace them before they expire.

Called by wiring.controller and wiring.gateway_feed. The controller has one Secret and the gateways another, so that a
gateway never has the key of the controller.

Invariant: while certificates are replaced, those of before are accepted, since a mounted Secret changes minutes later.
Held by tests/wiring/test_gateway_certificates.py.
"""

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from bateau.domain.system_names import CONTROLLER, CONTROLLER_CERTIFICATES, GATEWAY, GATEWAY_CERTIFICATES
from bateau.kit.certificates import Pair, expires_at, issue, starts_at
from bateau.kit.json_value import JsonObject, text_at
from bateau.ports.clock import Clock
from bateau.runtimes.kubernetes import ApiServer
from bateau.runtimes.kubernetes.api import Resource

LIFETIME: Final = timedelta(days=365)
_SECRETS: Final = Resource("/api/v1", "secrets", namespaced=True)


@dataclass(frozen=True, kw_only=True)
class ServerSide:
    """The controller's certificate, and the authorities whose clients it accepts, as PEM."""

    pair: Pair
    authorities: bytes


class GatewayCertificates:
    """The certificates of one installation, in its namespace."""

    def __init__(self, api: ApiServer, clock: Clock, *, namespace: str) -> None:
        self._api = api
        self._clock = clock
        self._namespace = namespace

    async def current(self) -> ServerSide:
        """Return the certificates, made or replaced if that is due. Raises ClusterError."""
        now = datetime.fromtimestamp(self._clock.wall(), tz=UTC)
        own, clients = await self._read(CONTROLLER_CERTIFICATES), await self._read(GATEWAY_CERTIFICATES)
        if own and clients and not _is_due(own["tls.crt"], now):
            return _server_side(own)
        service = f"{CONTROLLER}.{self._namespace}"
        made = issue(
            server_names=[f"{service}.svc", service, f"{service}.svc.cluster.local"],
            client_name=GATEWAY,
            now=now,
            lifetime=LIFETIME,
        )
        authorities = made.authority + (_first(own["ca.crt"]) if own and not _has_expired(own["ca.crt"], now) else b"")
        # The gateways' first: they show the new certificate only after the controller accepts it.
        own = {"ca.crt": authorities, "tls.crt": made.server.certificate, "tls.key": made.server.key}
        await self._write(CONTROLLER_CERTIFICATES, own)
        await self._write(
            GATEWAY_CERTIFICATES,
            {"ca.crt": authorities, "tls.crt": made.client.certificate, "tls.key": made.client.key},
        )
        return _server_side(own)

    async def _read(self, name: str) -> Mapping[str, bytes] | None:
        tree = await self._api.get(_SECRETS, self._namespace, name)
        try:
            found = {key: base64.b64decode(text_at(tree, "data", key)) for key in ("ca.crt", "tls.crt", "tls.key")}
            for key in ("ca.crt", "tls.crt"):
                expires_at(found[key])
        except (binascii.Error, ValueError):  # absent, or edited by hand: it is made again
            return None
        return found

    async def _write(self, name: str, data: Mapping[str, bytes]) -> None:
        tree: JsonObject = {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {
                "name": name,
                "namespace": self._namespace,
                "labels": {"app.kubernetes.io/managed-by": "bateau"},
            },
            "type": "kubernetes.io/tls",
            "data": {key: base64.b64encode(each).decode() for key, each in data.items()},
        }
        await self._api.apply(_SECRETS, tree, force=True)


def _server_side(own: Mapping[str, bytes]) -> ServerSide:
    return ServerSide(pair=Pair(certificate=own["tls.crt"], key=own["tls.key"]), authorities=own["ca.crt"])


def _is_due(certificate: bytes, now: datetime) -> bool:
    """Whether two thirds of its time are over, or it has not begun: a controller with a wrong clock has made it."""
    starts, ends = starts_at(certificate), expires_at(certificate)
    return not starts <= now < starts + (ends - starts) * 2 / 3


def _has_expired(certificate: bytes, now: datetime) -> bool:
    return now >= expires_at(certificate)


def _first(certificates: bytes) -> bytes:
    """Return the first certificate of a PEM text: the authority that was the newest."""
    end = b"-----END CERTIFICATE-----\n"
    return certificates[: certificates.index(end) + len(end)]
