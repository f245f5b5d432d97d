"""Turn a Traffic value into the resources that Envoy discovers, by type and name.

Called by traffic.envoy. It runs on every publish. Pure: the same
traffic gives the same bytes.

Invariant: the version of a resource is the hash of its bytes, so a restarted control plane sends nothing again. Held by
tests/traffic/test_control_channel.py::test_a_new_control_plane_sends_nothing_that_did_not_change.
Invariant: a backend that cannot be rendered is left out and reported; all others are rendered. Held by
tests/traffic/test_contained.py.
"""

import hashlib
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import PurePath

import orjson

from bateau.domain.api_key import ApiKey
from bateau.domain.endpoint import Backend, Traffic
from bateau.domain.errors import bug
from bateau.kit.json_value import ReadObject, text_at
from bateau.kit.latest import Latest
from bateau.traffic.envoy.api import EnvoyApi
from bateau.traffic.envoy.clusters import (
    UnusableBackend,
    api_key_secret,
    cluster,
    cluster_name,
    control_cluster,
    gateways_assignment,
    load_assignment,
)
from bateau.traffic.envoy.key_filters import cluster_key_filters
from bateau.traffic.envoy.listener import (
    INVALID_BODY,
    MISSING_MODEL,
    TYPE,
    FrontSettings,
    app_http_listener,
    app_tcp_listener,
    front_filters,
    front_listener,
    inner_listener,
    remote_listener,
)
from bateau.traffic.envoy.names import MODEL_HEADER
from bateau.traffic.envoy.remote import Remote
from bateau.traffic.envoy.route_encoding import RouteEncoder
from bateau.traffic.envoy.routes import app_routes, front_routes, model_routes

logger = logging.getLogger(__name__)

CLUSTER = TYPE + "envoy.config.cluster.v3.Cluster"
ENDPOINTS = TYPE + "envoy.config.endpoint.v3.ClusterLoadAssignment"
LISTENER = TYPE + "envoy.config.listener.v3.Listener"
ROUTES = TYPE + "envoy.config.route.v3.RouteConfiguration"
SECRET = TYPE + "envoy.extensions.transport_sockets.tls.v3.Secret"
EXTENSION = TYPE + "envoy.config.core.v3.TypedExtensionConfig"


@dataclass(frozen=True, slots=True)
class Resource:
    """One resource in wire form, and the key of the service that it belongs to."""

    version: str
    body: bytes
    service: str


Resources = Mapping[str, Mapping[str, Resource]]
_Rendered = tuple[tuple[str, str, Resource], ...]  # type URL, name, resource


@dataclass(frozen=True, slots=True)
class Built:
    """Resources by type URL and name; `failed` has the reasons why services are not among them."""

    resources: Resources
    failed: Mapping[str, str]


@dataclass(slots=True)
class ResourceBuilder:
    """Builds resources with the API of one Envoy, and keeps the encoded form of unchanged backends.

    `gateway` is the service key of resources that belong to no service. Without a `control_socket`, the gateways are
    those of a cluster: the front listener has no paths of the control API, every host name is served, because the
    listener is behind a Service, and replicas in a gateway's own zone are preferred. Other machines reach the models
    at `remote`.
    """

    api: EnvoyApi
    listen: tuple[str, int]
    control_socket: PurePath | None
    gateway: str
    front: FrontSettings = field(default_factory=FrontSettings)
    remote: Remote | None = None
    _rendered: dict[Backend, _Rendered] = field(default_factory=dict[Backend, _Rendered])
    _shared: dict[tuple[str, bytes], Resource] = field(default_factory=dict[tuple[str, bytes], Resource])
    _listeners: _Rendered = ()
    _keys: Latest[_Rendered] = field(default_factory=Latest[_Rendered])
    _told: set[tuple[str, str]] = field(default_factory=set[tuple[str, str]])
    _routes: RouteEncoder = field(init=False)

    def __post_init__(self) -> None:
        self._routes = RouteEncoder(self.api)

    @property
    def _on_machine(self) -> bool:
        return self.control_socket is not None

    def build(
        self, traffic: Traffic, *, zones: Mapping[str, str] | None = None, keys: Sequence[ApiKey] | None = None
    ) -> Built:
        """Return the resources of a traffic, and the backends that could not be rendered.

        `zones` are those of the gateways of a cluster, by node id, and `keys` the keys that get in there; None where no
        key is needed. On a machine, keys are in files.
        """
        rendered: dict[Backend, _Rendered] = {}
        failed: dict[str, str] = {}
        for backend in traffic.backends:
            try:
                rendered[backend] = self._rendered.get(backend) or tuple(self._render(backend))
            except UnusableBackend as error:
                failed[backend.service] = str(error)
                self._tell(backend.service, str(error))
            except Exception as error:  # noqa: BLE001 - a bug in one backend must not stop the others
                failed[backend.service] = says = bug(error)
                self._tell(backend.service, says, error)
        self._rendered = rendered
        self._told = {told for told in self._told if failed.get(told[0]) == told[1]}
        built: dict[str, dict[str, Resource]] = {
            type_url: {} for type_url in (CLUSTER, ENDPOINTS, SECRET, EXTENSION, LISTENER, ROUTES)
        }
        for type_url, name, resource in (
            *self._front(list(rendered), zones),
            *self._checks(keys),
            *(each for found in rendered.values() for each in found),
        ):
            built[type_url][name] = resource
        return Built(built, failed)

    def _front(self, backends: list[Backend], zones: Mapping[str, str] | None) -> Iterator[tuple[str, str, Resource]]:
        """Yield the resources that belong to no service: the front listener, its parts, and the control API."""
        models = [backend for backend in backends if backend.protocol == "openai"]
        translator = next((backend for backend in backends if backend.protocol == "translated"), None)
        hosts = self.remote.hosts if self.remote else ()
        routes = front_routes(models, translator=translator, on_machine=self._on_machine, hosts=hosts)
        yield ROUTES, text_at(routes, "name"), self._resource(self._routes.encode(routes), self.gateway)
        self._listeners = self._listeners or tuple(self._front_listeners())
        yield from self._listeners
        values = [
            *([(CLUSTER, control_cluster(self.control_socket))] if self.control_socket else []),
            *(
                (EXTENSION, each)
                for each in front_filters(self.front, [*models, *([translator] if translator else [])])
            ),
            *([(ENDPOINTS, gateways_assignment(zones))] if zones is not None else []),
        ]
        before, self._shared = self._shared, {}
        for type_url, value in values:
            key = type_url, orjson.dumps(value, option=orjson.OPT_SORT_KEYS)  # encoding may move keys of a value
            resource = before.get(key) or self._encode(type_url, value, self.gateway)
            self._shared[key] = resource
            yield type_url, text_at(value, "name") or text_at(value, "cluster_name"), resource

    def _front_listeners(self) -> Iterator[tuple[str, str, Resource]]:
        """Yield the front listeners, which no traffic changes."""
        found = [front_listener(*self.listen, front=self.front)]
        found += [remote_listener(self.remote, front=self.front)] if self.remote else []
        found += [inner_listener(self.front)] if self.front.inner else []
        for each in found:
            yield LISTENER, text_at(each, "name"), self._encode(LISTENER, each, self.gateway)

    def _checks(self, keys: Sequence[ApiKey] | None) -> _Rendered:
        """Return the filters that check keys, unless they are in files."""
        if not self.front.keys_by_ads:
            return ()
        return self._keys.of(partial(self._encoded_checks, keys), same=(keys,))

    def _encoded_checks(self, keys: Sequence[ApiKey] | None) -> _Rendered:
        found = cluster_key_filters(keys, model_header=MODEL_HEADER, no_model=(MISSING_MODEL, INVALID_BODY))
        return tuple((EXTENSION, text_at(each, "name"), self._encode(EXTENSION, each, self.gateway)) for each in found)

    def _render(self, backend: Backend) -> Iterator[tuple[str, str, Resource]]:
        """Yield all resources of one backend. Raises UnusableBackend, or any exception if there is a bug."""
        service, name = backend.service, cluster_name(backend)
        if backend.hold is None:
            yield CLUSTER, name, self._encode(CLUSTER, self._cluster(backend), service)
        if backend.external is None and backend.hold is None:
            yield ENDPOINTS, name, self._encode(ENDPOINTS, load_assignment(backend), service)
        if secret := api_key_secret(backend):
            yield SECRET, text_at(secret, "name"), self._encode(SECRET, secret, service)
        if backend.port_name and backend.listen_port:
            yield LISTENER, name, self._encode(LISTENER, _listener(name, backend), service)
        if backend.protocol == "openai":
            # The routes of all models are one resource. Encoding those of one model here shows which model fails.
            self._routes.routes(model_routes(backend, others={}))

    def _cluster(self, backend: Backend) -> ReadObject:
        return cluster(backend, zone_aware=not self._on_machine, balancer=self.front.library)

    def _encode(self, type_url: str, value: ReadObject, service: str) -> Resource:
        return self._resource(self.api.encode(type_url.removeprefix(TYPE), value), service)

    @staticmethod
    def _resource(body: bytes, service: str) -> Resource:
        return Resource(hashlib.blake2b(body, digest_size=8).hexdigest(), body, service)

    def _tell(self, service: str, says: str, bug: Exception | None = None) -> None:
        """Log once that a backend is left out, and the reason."""
        if (service, says) not in self._told:
            self._told.add((service, says))
            logger.error("%s is not published to the gateway: %s", service, says, exc_info=bug)


def _listener(name: str, app: Backend) -> ReadObject:
    port = app.listen_port or 0
    if app.protocol == "tcp":
        return app_tcp_listener(name, port, cluster=name, metrics_name=name)
    return app_http_listener(
        name, port, route_config=app_routes(name, cluster=name, hosts=app.hosts), metrics_name=name
    )
