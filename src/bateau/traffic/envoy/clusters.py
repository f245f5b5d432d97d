"""The services behind the gateway: one cluster for each, and its endpoints.

Called by traffic.envoy. Endpoints change often and clusters
rarely: replacing a cluster would open all connections again.

Invariant: a draining replica stays listed, so that its requests in flight can be counted, but gets no new ones. Held by
tests/traffic/test_streams.py.
"""

import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath

from bateau.domain.endpoint import Backend, Endpoint, ExternalTarget
from bateau.kit.json_value import ReadJson, ReadObject
from bateau.kit.url import UrlError, parsed
from bateau.traffic.envoy.addressed import addressing_filter
from bateau.traffic.envoy.affinity import affinity_policy
from bateau.traffic.envoy.listener import TYPE, ads, socket_address
from bateau.traffic.envoy.names import METADATA_NAMESPACE
from bateau.traffic.envoy.replies import BODY_BYTES_MAX

REPLICA = "replica"  # in the metadata of an endpoint
CONTROL_CLUSTER = "bateau-control"
GATEWAYS_CLUSTER = "bateau-gateways"

_MODELS = ("openai", "translated", "leaving")

_GENERATION = "#"  # not part of any name of a service
_UNLIMITED = 1_000_000
# llama.cpp's server has 512 threads and needs one per connection, even an idle one. Connection 513 waits for a thread,
# and that may be the health probe. Less than half of the threads, since two gateways run during a handover.
REPLICA_CONNECTIONS_MAX = 240
# How many more requests to a model wait in the gateway; the next request gets a 503.
WAITING_MAX = 1024
# Node and uvicorn close a connection that was idle for 5 s, gunicorn after 2 s. A request that is sent at that moment
# is lost, so the gateway closes idle connections first.
_APP_IDLE = "1.5s"
# A replica that has died has the fewest requests in flight, so every try of a request would go to it until the control
# plane has removed it. After three failures without a success it gets none for a second: the last of the tries of the
# first request goes elsewhere. A single reset does not count. The only replica of a service is always asked.
_REFUSED: ReadObject = {
    "split_external_local_origin_errors": True,
    "consecutive_local_origin_failure": 3,
    "enforcing_consecutive_local_origin_failure": 100,
    "interval": "0.5s",
    "base_ejection_time": "1s",
    "max_ejection_time": "1s",
    "max_ejection_percent": 99,
    # Its answers do not count.
    "enforcing_consecutive_5xx": 0,
    "enforcing_success_rate": 0,
    "enforcing_local_origin_success_rate": 0,
}
# The last of the upstream filters of a cluster.
_UPSTREAM_CODEC: ReadObject = {
    "name": "envoy.filters.http.upstream_codec",
    "typed_config": {"@type": TYPE + "envoy.extensions.filters.http.upstream_codec.v3.UpstreamCodec"},
}
# Envoy's default wants six endpoints; models have two or three.
_ZONE_AWARE: ReadObject = {"zone_aware_lb_config": {"min_cluster_size": 1}}


class UnusableBackend(ValueError):  # noqa: N818 - it says what the backend is
    """A backend has a value that cannot be rendered. The message names the value, and contains no secret."""


def cluster(backend: Backend, *, zone_aware: bool = False, balancer: PurePath | None = None) -> ReadObject:
    """Return the Cluster of a service: least-request over all ready endpoints, or the one external target.

    With `zone_aware`, a gateway prefers endpoints of its own zone, as far as that leaves the load even: Envoy compares
    the share of the gateways in each zone with that of the endpoints. `balancer` is the library that knows which
    replica had a conversation.
    """
    found: dict[str, ReadJson] = {
        "name": cluster_name(backend),
        "connect_timeout": "2s",
        "circuit_breakers": _limits(backend),
        "load_balancing_policy": {"policies": [{"typed_extension_config": _policy(backend, zone_aware, balancer)}]},
        # If no replica is ready, answer 503 instead of trying one that is not. A change of health counts at once; Envoy
        # would collect them for a second.
        "common_lb_config": {"healthy_panic_threshold": {"value": 0}, "update_merge_window": "0s"},
    }
    if backend.generation is not None:
        found["alt_stat_name"] = backend.service  # counters and logs do not begin again with each generation
    if backend.external:
        found.update(_external(backend, backend.external))
    else:
        found.update({"type": "EDS", "eds_cluster_config": {"eds_config": ads()}, "outlier_detection": _REFUSED})
        if backend.protocol != "tcp":
            options = _upstream_http(backend)
            if backend.answers_for_others:
                addressing = addressing_filter(host="localhost", path="/v1", model=_model(backend))
                options = {**options, "http_filters": [addressing, _UPSTREAM_CODEC]}
                found["per_connection_buffer_limit_bytes"] = BODY_BYTES_MAX
            found["typed_extension_protocol_options"] = http_protocol_options(options)
    return found


def _policy(backend: Backend, zone_aware: bool, balancer: PurePath | None) -> ReadObject:
    # Also without affinity, and for a model that leaves: another policy would replace the cluster.
    if balancer and backend.external is None and backend.protocol in _MODELS:
        return affinity_policy(balancer)
    return {
        "name": "envoy.load_balancing_policies.least_request",
        "typed_config": {
            "@type": TYPE + "envoy.extensions.load_balancing_policies.least_request.v3.LeastRequest",
            # Compare all endpoints instead of two at random: replicas are few and requests long.
            "selection_method": "FULL_SCAN",
            **({"locality_lb_config": _ZONE_AWARE} if zone_aware else {}),
        },
    }


def _model(backend: Backend) -> str:
    """Return the name of a model where it is served."""
    return backend.upstream_model or backend.name


def _limits(backend: Backend) -> ReadObject:
    """Return the CircuitBreakers: bounds for replicas of models, none for apps and external APIs."""
    bounded = backend.protocol in _MODELS and backend.external is None
    found: dict[str, ReadJson] = {
        "thresholds": [
            {
                "max_connections": _UNLIMITED,
                "max_pending_requests": WAITING_MAX if bounded else _UNLIMITED,
                "max_requests": _UNLIMITED if backend.requests_max is None else backend.requests_max,
                "max_retries": _UNLIMITED,
            }
        ]
    }
    if bounded:
        # Over HTTP/1.1 a connection carries one request at a time.
        found["per_host_thresholds"] = [{"max_connections": REPLICA_CONNECTIONS_MAX}]
    return found


def cluster_name(backend: Backend) -> str:
    """Return the name of a backend's cluster: the service, followed by the port's name if it is an app.

    A service that may sleep has a new cluster whenever it wakes up: Envoy asks for a missing one once.
    """
    if backend.generation is not None:
        return f"{backend.service}{_GENERATION}{backend.generation}"
    return backend.service if backend.port_name is None else f"{backend.service}/{backend.port_name}"


def generation_of(name: str) -> tuple[str, int] | None:
    """Return the service and the generation in the name of a cluster; None if it has no generation.

    >>> generation_of("model/chat#3")
    ('model/chat', 3)
    """
    service, _, number = name.rpartition(_GENERATION)
    return (service, int(number)) if service and number.isdecimal() else None


def control_cluster(socket: PurePath) -> ReadObject:
    """Return the Cluster of the control API, for metrics and webhooks."""
    return unix_cluster(CONTROL_CLUSTER, socket, {"http_protocol_options": {}})


def unix_cluster(name: str, path: PurePath, protocol: ReadObject) -> ReadObject:
    """Return the Cluster of one unix socket that speaks `protocol`, an ExplicitHttpConfig."""
    return {
        "name": name,
        "type": "STATIC",
        "connect_timeout": "1s",
        "typed_extension_protocol_options": http_protocol_options({"explicit_http_config": protocol}),
        "load_assignment": {
            "cluster_name": name,
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": {"pipe": {"path": str(path)}}}}]}],
        },
    }


def load_assignment(backend: Backend) -> ReadObject:
    """Return the ClusterLoadAssignment of a service, in the order of replica ids."""
    endpoints = sorted(backend.endpoints, key=lambda endpoint: endpoint.replica)
    return {
        "cluster_name": cluster_name(backend),
        "endpoints": [
            {**({"locality": {"zone": zone}} if zone else {}), "lb_endpoints": [_lb_endpoint(each) for each in found]}
            for zone, found in _by_zone(endpoints)
        ],
    }


def gateways_assignment(zones: Mapping[str, str]) -> ReadObject:
    """Return the ClusterLoadAssignment of the gateways themselves: the zone of each by its node id.

    Envoy only counts them; it never connects to them, so that their addresses do not matter.
    """
    endpoints = [Endpoint(replica=node, address=f"/{node}", zone=zone) for node, zone in sorted(zones.items())]
    return load_assignment(Backend(service=GATEWAYS_CLUSTER, name="", protocol="http", endpoints=tuple(endpoints)))


def _by_zone(endpoints: Sequence[Endpoint]) -> list[tuple[str, list[Endpoint]]]:
    found: dict[str, list[Endpoint]] = {}
    for each in endpoints:
        found.setdefault(each.zone or "", []).append(each)
    return sorted(found.items())


def _lb_endpoint(endpoint: Endpoint) -> ReadObject:
    return {
        "endpoint": {"address": _address(endpoint.address), "hostname": endpoint.replica},
        "health_status": "DRAINING" if endpoint.draining else "HEALTHY",
        "metadata": named(endpoint.replica),
    }


def named(replica: str) -> ReadObject:
    """Return the metadata of an endpoint with the name that the ledger has for it."""
    return {"filter_metadata": {METADATA_NAMESPACE: {REPLICA: replica}}}


def _address(address: str) -> ReadObject:
    if address.startswith("/"):
        return {"pipe": {"path": address}}
    host, _, port = address.rpartition(":")
    return socket_address(host.strip("[]"), int(port))


def _upstream_http(backend: Backend) -> ReadObject:
    if backend.protocol == "grpc":
        return {"explicit_http_config": {"http2_protocol_options": {}}}
    each: ReadObject = {"max_requests_per_connection": 1}
    many: ReadObject = {"idle_timeout": _APP_IDLE}
    return {
        "explicit_http_config": {"http_protocol_options": {}},
        "common_http_protocol_options": many if backend.reuses_connections else each,
    }


def http_protocol_options(options: ReadObject) -> ReadObject:
    """Return the HTTP protocol options of a Cluster, by the name of their extension."""
    name = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
    return {name: {"@type": TYPE + name, **options}}


@dataclass(frozen=True, slots=True, kw_only=True)
class ExternalUrl:
    """The parts of an external target's URL. `path` has no slash at its end."""

    tls: bool
    host: str
    port: int
    authority: str
    path: str

    @classmethod
    def parse(cls, text: str) -> "ExternalUrl":
        """Return the parts of a URL. Raises UnusableBackend; its message does not show the URL.

        >>> ExternalUrl.parse("https://api.example.org/v1/").port
        443
        """
        try:
            url = parsed(text)
        except UrlError as error:
            raise UnusableBackend(error.says) from None
        tls = url.scheme == "https"
        port = url.port or (443 if tls else 80)
        return cls(tls=tls, host=url.host, port=port, authority=url.authority, path=url.path.rstrip("/"))


def _external(backend: Backend, target: ExternalTarget) -> ReadObject:
    url, name = ExternalUrl.parse(target.url), cluster_name(backend)
    # Several models may be at one host, so the ledger needs the name of this one.
    replica = f"{backend.service.replace('/', '.')}@{url.authority}"
    endpoint = {"address": socket_address(url.host, url.port), "hostname": replica}
    options: dict[str, ReadJson] = {"explicit_http_config": {"http_protocol_options": {}}}
    upstream_filters = [addressing_filter(host=url.authority, path=url.path, model=_model(backend))]
    if target.api_key:
        upstream_filters.append(
            {
                "name": "envoy.filters.http.credential_injector",
                "typed_config": {
                    "@type": TYPE + "envoy.extensions.filters.http.credential_injector.v3.CredentialInjector",
                    "overwrite": True,
                    "credential": {
                        "name": "envoy.http.injected_credentials.generic",
                        "typed_config": {
                            "@type": TYPE + "envoy.extensions.http.injected_credentials.generic.v3.Generic",
                            "credential": {"name": f"{name}-key", "sds_config": ads()},
                            "header": "authorization",
                        },
                    },
                },
            }
        )
    options["http_filters"] = [*upstream_filters, _UPSTREAM_CODEC]
    found: dict[str, ReadJson] = {
        "type": "STRICT_DNS",
        # The name of the model is in the body, which is held for that.
        "per_connection_buffer_limit_bytes": BODY_BYTES_MAX,
        # Envoy acknowledges no cluster while one of them waits for its name server.
        "wait_for_warm_on_init": False,
        "load_assignment": {
            "cluster_name": name,
            "endpoints": [{"lb_endpoints": [{"endpoint": endpoint, "metadata": named(replica)}]}],
        },
        "typed_extension_protocol_options": http_protocol_options(options),
    }
    if url.tls:
        found["transport_socket"] = {
            "name": "envoy.transport_sockets.tls",
            "typed_config": {
                "@type": TYPE + "envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext",
                "sni": url.host,
                "common_tls_context": {
                    "validation_context": {
                        "trusted_ca": {"filename": _trusted_authorities()},
                        "match_typed_subject_alt_names": [{"san_type": "DNS", "matcher": {"exact": url.host}}],
                    }
                },
            },
        }
    return found


def _trusted_authorities() -> str:
    return ssl.get_default_verify_paths().cafile or "/etc/ssl/certs/ca-certificates.crt"


def api_key_secret(backend: Backend) -> ReadObject | None:
    """Return the Secret with the API key of an external target, or None if it has no key."""
    if backend.external is None or backend.external.api_key is None:
        return None
    return {
        "name": f"{backend.service}-key",
        "generic_secret": {"secret": {"inline_string": f"Bearer {backend.external.api_key}"}},
    }
