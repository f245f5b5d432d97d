"""Turn a Traffic value into everything Envoy discovers, by type and name.

Called by plane on every publish. Pure: the same traffic gives the same bytes.

Invariant: a resource's version is the hash of its bytes, so a control plane that was restarted sends nothing again.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from bateau.domain.endpoint import Backend, Traffic
from bateau.traffic.envoy.api import EnvoyApi
from bateau.traffic.envoy.clusters import api_key_secret, app_cluster, cluster, load_assignment
from bateau.traffic.envoy.listener import TYPE, app_http_listener, app_tcp_listener
from bateau.traffic.envoy.routes import app_routes, front_routes

CLUSTER = TYPE + "envoy.config.cluster.v3.Cluster"
ENDPOINTS = TYPE + "envoy.config.endpoint.v3.ClusterLoadAssignment"
LISTENER = TYPE + "envoy.config.listener.v3.Listener"
ROUTES = TYPE + "envoy.config.route.v3.RouteConfiguration"
SECRET = TYPE + "envoy.extensions.transport_sockets.tls.v3.Secret"


@dataclass(frozen=True, slots=True)
class Resource:
    """One resource in wire form."""

    version: str
    body: bytes


Resources = Mapping[str, Mapping[str, Resource]]


@dataclass(slots=True)
class ResourceBuilder:
    """Builds resources by the API of one Envoy, and keeps the encoded form of what did not change."""

    api: EnvoyApi
    _encoded: dict[str, Resource] = field(default_factory=dict[str, Resource])

    def build(self, traffic: Traffic) -> Resources:
        """Return resources by type URL and name."""
        models = [backend for backend in traffic.backends if backend.protocol == "openai"]
        apps = [backend for backend in traffic.backends if backend.port_name]
        secrets = [secret for backend in models if (secret := api_key_secret(backend))]
        encoded: dict[str, Resource] = {}
        built = {
            CLUSTER: self._encode(CLUSTER, map(cluster, traffic.backends), encoded),
            ENDPOINTS: self._encode(
                ENDPOINTS, (load_assignment(b) for b in traffic.backends if b.external is None), encoded
            ),
            SECRET: self._encode(SECRET, secrets, encoded),
            LISTENER: self._encode(LISTENER, (_listener(app) for app in apps if app.listen_port), encoded),
            ROUTES: self._encode(ROUTES, [front_routes(models)], encoded),
        }
        self._encoded = encoded
        return built

    def _encode(self, type_url: str, values: Any, encoded: dict[str, Resource]) -> dict[str, Resource]:
        found: dict[str, Resource] = {}
        for value in values:
            key = type_url + repr(value)
            resource = self._encoded.get(key)
            if resource is None:
                body = self.api.encode(type_url.removeprefix(TYPE), value)
                resource = Resource(hashlib.blake2b(body, digest_size=8).hexdigest(), body)
            encoded[key] = resource
            found[value.get("name") or value["cluster_name"]] = resource
        return found


def _listener(app: Backend) -> dict[str, Any]:
    name, port = app_cluster(app), app.listen_port or 0
    if app.protocol == "tcp":
        return app_tcp_listener(name, port, cluster=name, metrics_name=name)
    return app_http_listener(name, port, route_config=app_routes(name, cluster=name), metrics_name=name)
