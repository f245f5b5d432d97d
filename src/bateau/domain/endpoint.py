"""Where requests for a service may go: the one endpoint model that every plane is fed from.

Made by control from replicas and specs; read by the planes (Envoy now; gRPC xDS and DNS later).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

# "leaving": nobody is sent there any more, but what is in flight is counted.
Protocol = Literal["openai", "leaving", "http", "grpc", "websocket", "tcp"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """One replica's address ("127.0.0.1:PORT" or the path of a unix socket), and whether it still takes requests."""

    replica: str
    address: str
    draining: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ExternalTarget:
    """An OpenAI-compatible API elsewhere. `api_key` is a secret: never in repr, logs or the state on disk."""

    url: str
    api_key: str | None = None

    def __repr__(self) -> str:
        return f"ExternalTarget(url={self.url!r}, api_key={'set' if self.api_key else None})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Backend:
    """All endpoints of one service.

    `service` is "model/chat" or "app/shop". A model is reached by its name in the body of a request, an app's port
    (`port_name`) by a loopback port of its own (`listen_port`). `upstream_model` is the model's name over there, where
    it differs. `created` is in seconds since the epoch, None where unknown.
    """

    service: str
    name: str
    protocol: Protocol
    endpoints: tuple[Endpoint, ...] = ()
    external: ExternalTarget | None = None
    upstream_model: str | None = None
    listen_port: int | None = None
    port_name: str | None = None
    created: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Traffic:
    """Everything a plane has to know, as one value."""

    backends: tuple[Backend, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What the plane sees now: requests in flight by replica id."""

    in_flight: Mapping[str, int]
