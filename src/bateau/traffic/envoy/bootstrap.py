"""What Envoy is told at its start and never again: its control channel, its admin socket and the front listener.

Called by plane. Everything else comes by discovery.

Invariant: the admin interface is a unix socket that only its user can open.
"""

from pathlib import PurePath
from typing import Any

from bateau.traffic.envoy.listener import TYPE, ads, front_listener

XDS_CLUSTER = "bateau-xds"
CONTROL_CLUSTER = "bateau-control"

_CONNECTIONS_MAX = 50_000
_DURATION_BUCKETS_MS = [
    5,
    10,
    25,
    50,
    75,
    100,
    250,
    500,
    750,
    1000,
    2500,
    5000,
    7500,
    10000,
    30000,
    60000,
    120000,
    300000,
]


def bootstrap(
    *, listen_address: str, listen_port: int, admin_socket: PurePath, xds_socket: PurePath, control_socket: PurePath
) -> dict[str, Any]:
    """Return the JSON form of envoy.config.bootstrap.v3.Bootstrap."""
    return {
        "node": {"id": "gateway", "cluster": "bateau"},
        "admin": {"address": {"pipe": {"path": str(admin_socket), "mode": 0o600}}},
        "dynamic_resources": {
            "ads_config": {
                "api_type": "DELTA_GRPC",
                "transport_api_version": "V3",
                "set_node_on_first_message_only": True,
                "grpc_services": [{"envoy_grpc": {"cluster_name": XDS_CLUSTER}}],
            },
            "lds_config": ads(),
            "cds_config": ads(),
        },
        "static_resources": {
            "listeners": [front_listener(listen_address, listen_port)],
            "clusters": [
                _unix_cluster(XDS_CLUSTER, xds_socket, http2=True),
                _unix_cluster(CONTROL_CLUSTER, control_socket, http2=False),
            ],
        },
        "stats_config": {
            "histogram_bucket_settings": [{"match": {"prefix": "bateau"}, "buckets": _DURATION_BUCKETS_MS}]
        },
        # Without a bound Envoy warns at every start; the admin socket does not count.
        "overload_manager": {
            "resource_monitors": [
                {
                    "name": "envoy.resource_monitors.global_downstream_max_connections",
                    "typed_config": {
                        "@type": TYPE
                        + "envoy.extensions.resource_monitors.downstream_connections.v3.DownstreamConnectionsConfig",
                        "max_active_downstream_connections": _CONNECTIONS_MAX,
                    },
                }
            ]
        },
    }


def _unix_cluster(name: str, path: PurePath, *, http2: bool) -> dict[str, Any]:
    protocol: dict[str, Any] = (
        {"http2_protocol_options": {"connection_keepalive": {"interval": "5s", "timeout": "2s"}}}
        if http2
        else {"http_protocol_options": {}}
    )
    return {
        "name": name,
        "type": "STATIC",
        "connect_timeout": "1s",
        "typed_extension_protocol_options": {
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                "@type": TYPE + "envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
                "explicit_http_config": protocol,
            }
        },
        "load_assignment": {
            "cluster_name": name,
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": {"pipe": {"path": str(path)}}}}]}],
        },
    }
