"""Envoy's bootstrap: its admin socket and its control channel. All other configuration comes by discovery.

Called by traffic.envoy.gateway_bootstrap and traffic.envoy.plane. It is passed on Envoy's command line.

Invariant: the bootstrap contains no setting of a user, so no change of settings replaces a running Envoy. The id of the
replica and its admin socket are placeholders that the runtime replaces. Held by
tests/traffic/test_control_channel.py::test_another_listen_address_moves_the_port_of_the_same_envoy_and_cuts_no_stream.
Invariant: the admin interface is a unix socket that only its user can open. Held by
tests/traffic/test_control_channel.py::test_only_its_user_can_open_the_sockets.
Refused: a bootstrap file. Cleaning jobs delete it while Envoy runs, and an upgrade would change it for processes that
restart with the old command.
"""

from pathlib import PurePath
from typing import Final

from bateau.domain.measures import TIME_EDGES_S
from bateau.kit.json_value import ReadObject
from bateau.traffic.envoy.clusters import unix_cluster
from bateau.traffic.envoy.listener import TYPE, ads
from bateau.traffic.envoy.names import XDS_CLUSTER

_CONNECTIONS_MAX = 50_000
# Envoy refuses a filter with a regular expression beyond 100 instructions; a long glob has more.
_REGEX_SIZE = "re2.max_program_size.error_level"
_REGEX_SIZE_MAX = 1_000_000
# A new control plane is found within seconds; Envoy's own bound is half a minute.
_RETRY = {"retry_back_off": {"base_interval": "0.5s", "max_interval": "3s"}}
_DURATION_BUCKETS_MS: Final = tuple(round(1000 * edge) for edge in TIME_EDGES_S)


def bootstrap(*, xds_socket: PurePath) -> ReadObject:
    """Return the JSON form of envoy.config.bootstrap.v3.Bootstrap."""
    return {
        "admin": {"address": {"pipe": {"path": "{socket}", "mode": 0o600}}},
        "dynamic_resources": dynamic_resources(XDS_CLUSTER),
        "static_resources": {
            "clusters": [
                unix_cluster(
                    XDS_CLUSTER,
                    xds_socket,
                    {"http2_protocol_options": {"connection_keepalive": {"interval": "5s", "timeout": "2s"}}},
                )
            ],
        },
        "stats_config": stats_config(),
        "overload_manager": connections_bound(),
        "layered_runtime": {"layers": [{"name": "bateau", "static_layer": {_REGEX_SIZE: _REGEX_SIZE_MAX}}]},
    }


def dynamic_resources(cluster: str) -> ReadObject:
    """Return the DynamicResources of an Envoy whose control channel is a static cluster."""
    return {
        "ads_config": {
            "api_type": "DELTA_GRPC",
            "transport_api_version": "V3",
            "set_node_on_first_message_only": True,
            "grpc_services": [{"envoy_grpc": {"cluster_name": cluster, "retry_policy": _RETRY}}],
        },
        # Without a bound: an Envoy that was never configured would report itself ready after 15 s.
        "lds_config": {**ads(), "initial_fetch_timeout": "0s"},
        "cds_config": {**ads(), "initial_fetch_timeout": "0s"},
    }


def stats_config() -> ReadObject:
    """Return the StatsConfig with the buckets of times, in milliseconds."""
    return {"histogram_bucket_settings": [{"match": {"prefix": "bateau"}, "buckets": list(_DURATION_BUCKETS_MS)}]}


def connections_bound() -> ReadObject:
    """Return the OverloadManager. Without a bound Envoy warns at every start; the admin socket does not count."""
    name = "envoy.extensions.resource_monitors.downstream_connections.v3.DownstreamConnectionsConfig"
    return {
        "resource_monitors": [
            {
                "name": "envoy.resource_monitors.global_downstream_max_connections",
                "typed_config": {"@type": TYPE + name, "max_active_downstream_connections": _CONNECTIONS_MAX},
            }
        ]
    }
