"""The endpoint model that every plane gets, and the state that a plane reports.

Made by control from replicas and specs; read by the planes.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from bateau.domain.model_file import ModelFile, ModelTask
from bateau.domain.workload import Limits, Routing

# "leaving": the service gets no new requests; those in flight are counted until they end.
Protocol = Literal["openai", "translated", "leaving", "http", "grpc", "websocket", "tcp"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """The address of a replica: "127.0.0.1:PORT" or the path of a unix socket. A draining one gets no new requests.

    `zone` is that of its node, None if there are none or it is not known.
    """

    replica: str
    address: str
    zone: str | None = None
    draining: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ExternalTarget:
    """An OpenAI-compatible API elsewhere. `api_key` is a secret: it appears in no repr, log or file."""

    url: str
    api_key: str | None = None

    def __repr__(self) -> str:
        return f"ExternalTarget(url={self.url!r}, api_key={'set' if self.api_key else None})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """Requests for a service that sleeps wait in the plane until it has endpoints.

    At most `requests_max` wait, each for `wait_s` seconds. `says` tells the others what the service waits for.
    """

    requests_max: int
    wait_s: float
    says: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Backend:
    """All endpoints of one service.

    `service` is "model/chat" or "app/shop". Clients reach a model by its name in the request body, and an app's port
    (`port_name`) at its own loopback port (`listen_port`), by the names of this machine and `hosts`. `upstream_model`
    is the name of the model at an external API, if it differs. `task` is the task of the model, None if unknown.
    `created` is in seconds since the epoch, None if unknown. `aliases` are more names of a model in request bodies.

    A service that may sleep has a `generation`, which grows whenever it falls asleep, `idle_after_s` seconds after its
    last request. While it has a `hold`, requests
    wait, and the plane reports the generation that they ask for. At most `requests_max` requests are in flight or wait
    at its replicas, None: as many as the plane allows. `limits` are those of a model, and
    `routing` says which other models answer its requests. `answers_for_others`: another model's `routing` names it.
    `reuses_connections`: a connection may carry one request after another; see `Port`.
    `affinity`: the requests of a conversation go to one replica now, if the plane can do that. `file` is the file of
    a model, and `engine` the name of the engine that has it, None where they are not known.
    """

    service: str
    name: str
    protocol: Protocol
    endpoints: tuple[Endpoint, ...] = ()
    external: ExternalTarget | None = None
    upstream_model: str | None = None
    listen_port: int | None = None
    port_name: str | None = None
    hosts: tuple[str, ...] = ()
    task: ModelTask | None = None
    created: int | None = None
    aliases: tuple[str, ...] = ()
    generation: int | None = None
    idle_after_s: float | None = None
    hold: Hold | None = None
    requests_max: int | None = None
    limits: Limits = field(default_factory=Limits)
    routing: Routing = field(default_factory=Routing)
    answers_for_others: bool = False
    reuses_connections: bool = False
    affinity: bool = False
    file: ModelFile | None = None
    engine: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Proxy:
    """One running process of a plane; `service` is the key of the plane's proxies ("gateway/envoy").

    `address` is the path of its admin socket, None if it has none of its own.

    A proxy with `draining` takes no new connections and finishes the requests and streams that it has.
    """

    replica: str
    service: str
    address: str | None = None
    draining: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Traffic:
    """The complete input of a plane, as one value.

    `proxies` are the plane's own processes. A plane measures its load while any endpoint or proxy drains;
    `measure_load` asks for it at other times too.
    """

    backends: tuple[Backend, ...] = ()
    proxies: tuple[Proxy, ...] = ()
    measure_load: bool = False

    @property
    def wants_load(self) -> bool:
        """Whether the plane should measure how many requests are in flight."""
        return self.measure_load or self.drains

    @property
    def drains(self) -> bool:
        """Whether any endpoint or proxy drains."""
        draining = any(endpoint.draining for backend in self.backends for endpoint in backend.endpoints)
        return draining or any(proxy.draining for proxy in self.proxies)


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """Requests in flight by replica id (for tcp: connections), seen at `seen_at` in monotonic seconds.

    It has an entry for each endpoint and each proxy of the published traffic. A replica without an entry gets no
    requests through the plane. `taken` counts the requests that a replica was ever sent; it may begin again at 0.
    """

    in_flight: Mapping[str, int]
    seen_at: float
    taken: Mapping[str, int] = field(default_factory=dict[str, int])


@dataclass(frozen=True, slots=True, kw_only=True)
class PlaneState:
    """The state of a plane that is known now.

    `accepted`: a proxy is connected, and all connected proxies have answered for the traffic that was published last,
    by accepting or rejecting each part. `rejected` maps service keys to reasons, only for services that are published
    now; the key of parts that belong to no service is "gateway/NAME", with the name of the plane. `load` was measured
    after the proxies had acknowledged the traffic that was published last; None means unknown. `asked` has the services
    that requests wait for, each with the latest generation that one waits for.
    """

    accepted: bool
    rejected: Mapping[str, str]
    load: Load | None
    asked: Mapping[str, int] = field(default_factory=dict[str, int])
