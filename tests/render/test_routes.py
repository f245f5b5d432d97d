"""The routes of services by the Gateway API. No Gateway controller runs here: objects are checked, not requests."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bateau.domain.finding import Finding
from bateau.kit.json_value import object_at, text_at
from bateau.kit.yaml_writer import write
from bateau.plan.difference import edits
from bateau.render import validate
from bateau.wiring.schemas import load_schemas
from cluster.gateway_api import install_gateway_api
from cluster.kubectl import Kubectl
from render.building import app, model, release_of, render

SHOP = "image: 'acme/shop:1', ports: {web: {port: 8000}, ops: {protocol: tcp, port: 9000}}"
EXISTING = "route: {hostnames: [shop.example.com], gateway: {name: public, namespace: infra}}"
MADE = (
    "route: {hostnames: [shop.example.com, '*.shop.example.com'], "
    "gateway: {className: envoy, certificate: shop-tls, proxyNamespace: envoy-gateway-system}}"
)
CHAT = "source: smollm2, route: {hostnames: [chat.example.com], gateway: {className: envoy}}"
RPC = "image: 'acme/rpc:1', ports: {rpc: {protocol: grpc}}, " + EXISTING
EVERY = (app("shop", f"{SHOP}, {EXISTING}"), app("made", f"{SHOP}, {MADE}"), app("rpc", RPC), model("chat", CHAT))


def rendered(*documents: str) -> tuple[dict[tuple[str, str], Any], tuple[Finding, ...]]:
    made = render(release_of(*documents), namespace="prod")
    return {(each.group_kind[1], each.name): each.tree for each in made.manifests}, made.findings


def peers(policy: Any) -> list[Any]:
    return [peer for rule in policy["spec"].get("ingress", ()) for peer in rule["from"]]


def test_a_route_leads_to_the_first_port_and_admits_the_proxies_of_its_gateway_alone() -> None:
    objects, findings = rendered(app("shop", f"{SHOP}, {EXISTING}"))
    assert findings == ()
    spec = objects["HTTPRoute", "shop"]["spec"]
    assert spec["parentRefs"] == [{"name": "public", "namespace": "infra"}]
    assert spec["hostnames"] == ["shop.example.com"]
    assert spec["rules"] == [{"backendRefs": [{"name": "shop", "port": 8000}], "timeouts": {"request": "0s"}}]
    infra = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "infra"}}}
    assert peers(objects["NetworkPolicy", "shop"]) == [infra]
    assert ("Gateway", "public") not in objects
    without, _ = rendered(app("shop", SHOP))
    assert peers(without["NetworkPolicy", "shop"]) == []


def test_a_gateway_is_made_where_a_class_is_named() -> None:
    objects, _ = rendered(app("shop", f"{SHOP}, {MADE}"))
    spec = objects["Gateway", "shop"]["spec"]
    assert spec["gatewayClassName"] == "envoy"
    assert [(each["hostname"], each["port"], each["protocol"]) for each in spec["listeners"]] == [
        ("shop.example.com", 443, "HTTPS"),
        ("*.shop.example.com", 443, "HTTPS"),
    ]
    assert spec["listeners"][0]["tls"] == {"certificateRefs": [{"name": "shop-tls"}]}
    assert objects["HTTPRoute", "shop"]["spec"]["parentRefs"] == [{"name": "shop"}]
    proxies = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "envoy-gateway-system"}}}
    assert peers(objects["NetworkPolicy", "shop"]) == [proxies]


def test_a_model_without_keys_says_who_may_use_it() -> None:
    objects, findings = rendered(model("chat", CHAT))
    assert objects["Gateway", "chat"]["spec"]["listeners"][0]["port"] == 80
    assert [each.says for each in findings] == [
        "there are no API keys yet: everybody who reaches the Gateway may use the model"
    ]


def test_grpc_has_a_route_of_its_own_kind_and_tcp_has_none() -> None:
    objects, _ = rendered(app("rpc", RPC))
    assert objects["GRPCRoute", "rpc"]["spec"]["rules"] == [{"backendRefs": [{"name": "rpc", "port": 8080}]}]
    _, findings = rendered(app("raw", f"image: 'a/b:1', ports: {{raw: {{protocol: tcp}}}}, {EXISTING}"))
    assert [(each.verdict, each.path) for each in findings] == [("error", "spec.route")]


def test_every_route_passes_the_strict_schemas() -> None:
    assert validate(render(release_of(*EVERY)).manifests, load_schemas()) == ()


@pytest.fixture
def server(control_plane: Path) -> Iterator[Kubectl]:
    """A namespace of its own in a server that has the definitions of the Gateway API."""
    kubectl = Kubectl(control_plane)
    names = install_gateway_api(kubectl)
    kubectl("create", "namespace", "prod")
    yield Kubectl(control_plane, "prod")
    kubectl("delete", "namespace/prod", *names, "--wait=false")


def test_the_api_server_takes_every_route_and_its_defaults_are_no_change(server: Kubectl) -> None:
    """CEL rules of the definitions included, which the schemas here do not evaluate."""
    manifests = render(release_of(*EVERY), namespace="prod").manifests
    text = write(each.tree for each in manifests)
    server("apply", "--server-side", "--validate=strict", "--dry-run=server", "-f", "-", stdin=text)
    routes = [each.tree for each in manifests if each.group_kind[0] == "gateway.networking.k8s.io"]
    server("apply", "--server-side", "--field-manager=bateau", "-f", "-", stdin=write(routes))
    schemas = load_schemas()
    for tree in routes:
        live = server.get(str(tree["kind"]), text_at(tree, "metadata", "name"))
        changed = [each.path for each in edits(live["spec"], object_at(tree, "spec"))]
        assert changed, "the server fills in no default any more, so this test is not needed"
        assert edits(object_at(schemas.without_defaults(live, tree), "spec"), object_at(tree, "spec")) == []
