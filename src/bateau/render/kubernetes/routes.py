"""The route of a service, by the Gateway API: an HTTPRoute or GRPCRoute, and a Gateway if it is to be made.

Called by render.kubernetes.target. Source: gateway.networking.k8s.io/v1 (Gateway API 1.7).

Invariant: only the proxies of the Gateway are admitted by the service's NetworkPolicy, and no others. Held by
tests/render/test_routes.py.
"""

from typing import Final

from bateau.domain.route import Route
from bateau.domain.workload import ModelServer
from bateau.kit.position import item
from bateau.render.kubernetes.shape import Door, Shape
from bateau.render.marks import From, MarkedObject, Rule

_API: Final = "gateway.networking.k8s.io/v1"
_GATEWAY: Final = "spec.route.gateway"


def routed_door(shape: Shape, doors: list[Door]) -> Door | None:
    """Return the port that the route leads to; None without a route, or with a finding if there is no such port."""
    if shape.service.route is None:
        return None
    if doors and doors[0].protocol != "tcp":
        if isinstance(shape.service.runs, ModelServer):
            shape.say("there are no API keys yet: everybody who reaches the Gateway may use the model", "spec.route")
        return doors[0]
    says = "the first port speaks tcp, and a route needs http, websocket or grpc" if doors else "there is no port"
    shape.say(f"not rendered: spec.route; {says}", "spec.route", verdict="error")
    return None


def routes_of(shape: Shape, door: Door, route: Route) -> list[MarkedObject]:
    """Return the route to a port, and before it the Gateway if the spec names a class."""
    gateway = route.gateway
    name = From(gateway.name, f"{_GATEWAY}.name") if gateway.name else From(shape.service.name, "metadata.name")
    parent: MarkedObject = {"name": name}
    if gateway.namespace:
        parent["namespace"] = From(gateway.namespace, f"{_GATEWAY}.namespace")
    rule: MarkedObject = {
        "backendRefs": [{"name": From(shape.service.name, "metadata.name"), "port": door.number}],
    }
    kind = "GRPCRoute" if door.protocol == "grpc" else "HTTPRoute"
    if kind == "HTTPRoute":
        rule["timeouts"] = Rule({"request": "0s"}, "answers and connections may be long")
    hostnames = [From(each, item("spec.route.hostnames", index)) for index, each in enumerate(route.hostnames)]
    spec: MarkedObject = {"parentRefs": [parent], "hostnames": [*hostnames], "rules": [rule]}
    made = [shape.document(_API, kind, {"spec": spec})]
    return [*([_gateway(shape, route, name)] if gateway.class_name else []), *made]


def proxies_of(shape: Shape, route: Route) -> MarkedObject:
    """Return the peer of a NetworkPolicy that stands for the proxies of the route's Gateway."""
    gateway = route.gateway
    if gateway.proxy_namespace:
        namespace: From[str] | Rule[str] = From(gateway.proxy_namespace, f"{_GATEWAY}.proxyNamespace")
    elif gateway.namespace:
        namespace = From(gateway.namespace, f"{_GATEWAY}.namespace")
    else:
        namespace = Rule(shape.around.namespace, "the Gateway is in the same namespace")
    return {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}}}


def _gateway(shape: Shape, route: Route, name: From[str]) -> MarkedObject:
    gateway = route.gateway
    listeners: list[MarkedObject] = []
    for index, host in enumerate(route.hostnames):
        listener: MarkedObject = {
            "name": Rule(f"host-{index}", "a listener for each host name"),
            "hostname": From(host, item("spec.route.hostnames", index)),
        }
        if gateway.certificate:
            secret: MarkedObject = {"name": From(gateway.certificate, f"{_GATEWAY}.certificate")}
            listener |= {
                "port": Rule(443, "HTTPS, because there is a certificate"),
                "protocol": Rule("HTTPS", "there is a certificate"),
                "tls": {"certificateRefs": [secret]},
            }
        else:
            listener |= {
                "port": Rule(80, "HTTP, because there is no certificate"),
                "protocol": Rule("HTTP", "there is no certificate"),
            }
        listeners.append(listener)
    spec: MarkedObject = {
        "gatewayClassName": From(gateway.class_name or "", f"{_GATEWAY}.className"),
        "listeners": [*listeners],
    }
    made = shape.document(_API, "Gateway", {"spec": spec})
    metadata = made["metadata"]
    return {**made, "metadata": {**metadata, "name": name}} if isinstance(metadata, dict) else made
