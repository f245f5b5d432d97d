"""How other machines reach the endpoint: an address beyond loopback, the names it answers to, and its certificate.

Called by traffic.envoy and wiring.remote.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePath
from typing import Final

from bateau.kit.json_value import ReadObject

_TLS: Final = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3."
_SECRET: Final = "endpoint"  # noqa: S105 - a name


@dataclass(frozen=True, kw_only=True)
class Remote:
    """The listener for other machines.

    `hosts` are the values of `Host` that it answers to, besides those of this machine's loopback. `certificate` is the
    file from which Envoy reads its certificate, again whenever it is replaced; None: plain HTTP.
    """

    address: str
    port: int
    hosts: tuple[str, ...]
    certificate: PurePath | None


def certificate_secret(*, certificate: str, key: str, version: str) -> ReadObject:
    """Return the content of `Remote.certificate`: a DiscoveryResponse with a certificate and its key, as PEM."""
    pair = {"certificate_chain": {"inline_string": certificate}, "private_key": {"inline_string": key}}
    return {
        "version_info": version,
        "resources": [{"@type": _TLS + "Secret", "name": _SECRET, "tls_certificate": pair}],
    }


def transport_socket(certificate: PurePath | None) -> Mapping[str, ReadObject]:
    """Return the `transport_socket` of a filter chain, for TLS 1.2 or newer; nothing for plain HTTP."""
    if certificate is None:
        return {}
    source = {"path_config_source": {"path": str(certificate)}, "resource_api_version": "V3"}
    config = {
        "@type": _TLS + "DownstreamTlsContext",
        "common_tls_context": {
            "tls_params": {"tls_minimum_protocol_version": "TLSv1_2"},
            "alpn_protocols": ["h2", "http/1.1"],
            "tls_certificate_sds_secret_configs": [{"name": _SECRET, "sds_config": source}],
        },
    }
    return {"transport_socket": {"name": "envoy.transport_sockets.tls", "typed_config": config}}
