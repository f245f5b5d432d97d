"""The services behind the gateway: a cluster for each, and its endpoints.

Called by resources. Endpoints change often and clusters rarely: replacing a cluster would open all connections anew.

Invariant: a replica that drains stays listed, so that what is in flight on it can be counted, but gets nothing new.
"""

import ssl
from typing import Any
from urllib.parse import urlsplit

from bateau.domain.endpoint import Backend, Endpoint, ExternalTarget
from bateau.traffic.envoy.listener import TYPE, ads, socket_address

_UNLIMITED = 1_000_000


def cluster(backend: Backend) -> dict[str, Any]:
    """Return the Cluster of a service: least-request over all ready endpoints, or the one target elsewhere."""
    found: dict[str, Any] = {
        "name": backend.service if backend.port_name is None else app_cluster(backend),
        "connect_timeout": "2s",
        "circuit_breakers": {
            "thresholds": [
                {
                    "max_connections": _UNLIMITED,
                    "max_pending_requests": _UNLIMITED,
                    "max_requests": _UNLIMITED,
                    "max_retries": _UNLIMITED,
                }
            ]
        },
        "load_balancing_policy": {
            "policies": [
                {
                    "typed_extension_config": {
                        "name": "envoy.load_balancing_policies.least_request",
                        "typed_config": {
                            "@type": TYPE + "envoy.extensions.load_balancing_policies.least_request.v3.LeastRequest",
                            # All endpoints are compared, not two of them: few replicas, long requests.
                            "selection_method": "FULL_SCAN",
                        },
                    }
                }
            ]
        },
        # With all replicas unready the answer is 503, not a guess among the dead.
        "common_lb_config": {"healthy_panic_threshold": {"value": 0}},
    }
    if backend.external:
        found.update(_external(backend.external, str(found["name"])))
    else:
        found.update({"type": "EDS", "eds_cluster_config": {"eds_config": ads()}})
        if backend.protocol != "tcp":
            found["typed_extension_protocol_options"] = _protocol_options(_upstream_http(backend.protocol))
    return found


def app_cluster(backend: Backend) -> str:
    """Return the cluster's name for one port of an App."""
    return f"{backend.service}/{backend.port_name}"


def load_assignment(backend: Backend) -> dict[str, Any]:
    """Return the ClusterLoadAssignment of a service, in the order of replica ids."""
    name = backend.service if backend.port_name is None else app_cluster(backend)
    endpoints = sorted(backend.endpoints, key=lambda endpoint: endpoint.replica)
    return {
        "cluster_name": name,
        "endpoints": [{"lb_endpoints": [_lb_endpoint(endpoint) for endpoint in endpoints]}] if endpoints else [],
    }


def _lb_endpoint(endpoint: Endpoint) -> dict[str, Any]:
    return {
        "endpoint": {"address": _address(endpoint.address), "hostname": endpoint.replica},
        "health_status": "DRAINING" if endpoint.draining else "HEALTHY",
    }


def _address(address: str) -> dict[str, Any]:
    if address.startswith("/"):
        return {"pipe": {"path": address}}
    host, _, port = address.rpartition(":")
    return socket_address(host.strip("[]"), int(port))


def _upstream_http(protocol: str) -> dict[str, Any]:
    if protocol in ("openai", "leaving"):
        # llama.cpp closes a connection that was idle for 5 s or has carried 100 requests: be quicker than it.
        return {
            "explicit_http_config": {"http_protocol_options": {}},
            "common_http_protocol_options": {"idle_timeout": "4s", "max_requests_per_connection": 90},
        }
    if protocol == "grpc":
        return {"explicit_http_config": {"http2_protocol_options": {}}}
    return {"explicit_http_config": {"http_protocol_options": {}}}


def _protocol_options(options: dict[str, Any]) -> dict[str, Any]:
    name = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
    return {name: {"@type": TYPE + name, **options}}


def _external(target: ExternalTarget, name: str) -> dict[str, Any]:
    url = urlsplit(target.url)
    port = url.port or (443 if url.scheme == "https" else 80)
    host = url.hostname or ""
    options: dict[str, Any] = {"explicit_http_config": {"http_protocol_options": {}}}
    upstream_filters: list[dict[str, Any]] = []
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
    if upstream_filters:
        options["http_filters"] = [
            *upstream_filters,
            {
                "name": "envoy.filters.http.upstream_codec",
                "typed_config": {"@type": TYPE + "envoy.extensions.filters.http.upstream_codec.v3.UpstreamCodec"},
            },
        ]
    found: dict[str, Any] = {
        "type": "STRICT_DNS",
        "load_assignment": {
            "cluster_name": name,
            "endpoints": [
                {"lb_endpoints": [{"endpoint": {"address": socket_address(host, port), "hostname": url.netloc}}]}
            ],
        },
        "typed_extension_protocol_options": _protocol_options(options),
    }
    if url.scheme == "https":
        found["transport_socket"] = {
            "name": "envoy.transport_sockets.tls",
            "typed_config": {
                "@type": TYPE + "envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext",
                "sni": host,
                "common_tls_context": {
                    "validation_context": {
                        "trusted_ca": {"filename": _trusted_authorities()},
                        "match_typed_subject_alt_names": [{"san_type": "DNS", "matcher": {"exact": host}}],
                    }
                },
            },
        }
    return found


def _trusted_authorities() -> str:
    return ssl.get_default_verify_paths().cafile or "/etc/ssl/certs/ca-certificates.crt"


def api_key_secret(backend: Backend) -> dict[str, Any] | None:
    """Return the Secret that holds the key of an external target, or None where it has none."""
    if backend.external is None or backend.external.api_key is None:
        return None
    return {
        "name": f"{backend.service}-key",
        "generic_secret": {"secret": {"inline_string": f"Bearer {backend.external.api_key}"}},
    }
