"""How clients from outside of a cluster reach a service: a part of Model and App.

Read by specs.kinds and render.kubernetes.routes. Source: the Gateway API (gateway.networking.k8s.io/v1).
"""

from dataclasses import dataclass

from bateau.domain.dns_label import DNS_LABEL, DNS_LABEL_SAYS
from bateau.kit.schema import described


@dataclass(frozen=True, kw_only=True)
class RouteGateway:
    """The Gateway of the Gateway API that receives the requests: one that exists, or a new one."""

    name: str | None = described(
        "Name of the Gateway. Absent, with `className`: the name of this document.",
        default=None,
        pattern=DNS_LABEL,
        pattern_says=DNS_LABEL_SAYS,
        examples=("public",),
    )
    namespace: str | None = described(
        "Namespace of the Gateway. Absent: that of this document.",
        default=None,
        pattern=DNS_LABEL,
        pattern_says=DNS_LABEL_SAYS,
        examples=("infra",),
    )
    class_name: str | None = described(
        "GatewayClass. With it, Bateau makes the Gateway, in the namespace of this document.",
        default=None,
        examples=("envoy",),
    )
    certificate: str | None = described(
        "With `className`: Secret with the certificate of the host names, in the same namespace. Absent: plain HTTP.",
        default=None,
        examples=("chat-tls",),
    )
    proxy_namespace: str | None = described(
        "Namespace in which the Gateway's proxies run; they are admitted to the service. Absent: that of the Gateway.",
        default=None,
        pattern=DNS_LABEL,
        pattern_says=DNS_LABEL_SAYS,
        examples=("envoy-gateway-system",),
    )


@dataclass(frozen=True, kw_only=True)
class Route:
    """How clients from outside of a cluster reach a service, by the Gateway API."""

    hostnames: tuple[str, ...] = described("Host names of the service.", examples=(("chat.example.com",),))
    gateway: RouteGateway = described("The Gateway that receives the requests.", default_factory=RouteGateway)
