"""The bootstrap of an Envoy in a pod: the controller over mutual TLS, a page for probes, and a local admin socket.

Called by wiring.gateway. All other configuration comes by discovery.

Invariant: of the admin interface, other pods reach readiness and statistics, and nothing that changes Envoy. Held by
tests/traffic/test_gateway.py::test_other_pods_read_statistics_and_change_nothing.
"""

from collections.abc import Mapping
from pathlib import PurePath
from typing import Final

from bateau.kit.json_value import ReadJson, ReadObject
from bateau.traffic.envoy.bootstrap import connections_bound, dynamic_resources, stats_config
from bateau.traffic.envoy.clusters import GATEWAYS_CLUSTER, http_protocol_options, unix_cluster
from bateau.traffic.envoy.listener import TYPE, ads, socket_address
from bateau.traffic.envoy.names import XDS_CLUSTER

_TLS: Final = TYPE + "envoy.extensions.transport_sockets.tls.v3."
_ADMIN: Final = "admin"
_GATEWAYS: Final[ReadObject] = {
    "name": GATEWAYS_CLUSTER,
    "type": "EDS",
    "eds_cluster_config": {"eds_config": ads()},
}
_PAGES: Final = ("/ready", "/stats/prometheus")


def gateway_bootstrap(
    *, xds: tuple[str, int], secrets: PurePath, admin: PurePath, probes: tuple[str, int], zone: str = ""
) -> ReadObject:
    """Return the JSON form of envoy.config.bootstrap.v3.Bootstrap.

    `secrets` is a directory with the files that `gateway_secrets` returns. `zone` is that of the gateway's own node,
    empty if it is not known.
    """
    return {
        # Envoy prefers endpoints of its zone only if it knows in which zones the other gateways are.
        "node": {"locality": {"zone": zone}},
        "cluster_manager": {"local_cluster_name": GATEWAYS_CLUSTER},
        "admin": {"address": {"pipe": {"path": str(admin), "mode": 0o600}}},
        "dynamic_resources": dynamic_resources(XDS_CLUSTER),
        "static_resources": {
            "listeners": [_probes(*probes)],
            "clusters": [
                _xds_cluster(*xds, secrets),
                unix_cluster(_ADMIN, admin, {"http_protocol_options": {}}),
                _GATEWAYS,
            ],
        },
        "stats_config": stats_config(),
        "overload_manager": connections_bound(),
    }


def _xds_cluster(host: str, port: int, secrets: PurePath) -> ReadObject:
    def discovered(name: str) -> ReadObject:
        path = {"path": str(secrets / f"{name}.json")}
        return {"name": name, "sds_config": {"path_config_source": path, "resource_api_version": "V3"}}

    tls: dict[str, ReadJson] = {
        "@type": _TLS + "UpstreamTlsContext",
        "sni": host,
        "common_tls_context": {
            "tls_params": {"tls_minimum_protocol_version": "TLSv1_3", "tls_maximum_protocol_version": "TLSv1_3"},
            "alpn_protocols": ["h2"],
            "tls_certificate_sds_secret_configs": [discovered("own")],
            "combined_validation_context": {
                "default_validation_context": {
                    "match_typed_subject_alt_names": [{"san_type": "DNS", "matcher": {"exact": host}}]
                },
                "validation_context_sds_secret_config": discovered("authority"),
            },
        },
    }
    return {
        "name": XDS_CLUSTER,
        "type": "STRICT_DNS",
        "dns_lookup_family": "V4_PREFERRED",
        "connect_timeout": "2s",
        "load_assignment": {
            "cluster_name": XDS_CLUSTER,
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": socket_address(host, port)}}]}],
        },
        "typed_extension_protocol_options": http_protocol_options(
            {
                "explicit_http_config": {
                    "http2_protocol_options": {"connection_keepalive": {"interval": "5s", "timeout": "2s"}}
                }
            }
        ),
        "transport_socket": {"name": "envoy.transport_sockets.tls", "typed_config": tls},
    }


def gateway_secrets(certificates: PurePath) -> Mapping[str, ReadObject]:
    """Return the files of secrets by name: the gateway's own certificate, and the authority of the controller.

    `certificates` is a directory with ca.crt, tls.crt and tls.key, as a Secret is mounted. Envoy reads them again when
    the directory changes; it does that for a file with one secret, and not for secrets of the bootstrap.
    """
    watched = {"watched_directory": {"path": str(certificates)}}
    own = {
        "certificate_chain": {"filename": str(certificates / "tls.crt")},
        "private_key": {"filename": str(certificates / "tls.key")},
        **watched,
    }
    authority = {"trusted_ca": {"filename": str(certificates / "ca.crt")}, **watched}
    return {
        "own.json": {"resources": [{"@type": _TLS + "Secret", "name": "own", "tls_certificate": own}]},
        "authority.json": {
            "resources": [{"@type": _TLS + "Secret", "name": "authority", "validation_context": authority}]
        },
    }


def _probes(address: str, port: int) -> ReadObject:
    manager: dict[str, ReadJson] = {
        "@type": TYPE + "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "probes",
        "http_filters": [
            {
                "name": "envoy.filters.http.router",
                "typed_config": {"@type": TYPE + "envoy.extensions.filters.http.router.v3.Router"},
            }
        ],
        "route_config": {
            "virtual_hosts": [
                {
                    "name": "probes",
                    "domains": ["*"],
                    "routes": [
                        {
                            "match": {
                                "path": page,
                                "headers": [{"name": ":method", "string_match": {"exact": "GET"}}],
                            },
                            "route": {"cluster": _ADMIN, "timeout": "5s"},
                        }
                        for page in _PAGES
                    ],
                }
            ]
        },
    }
    return {
        "name": "probes",
        "address": socket_address(address, port),
        "filter_chains": [
            {"filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]}
        ],
    }
