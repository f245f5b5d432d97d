"""The objects of Bateau's own installation: valid, the same each time, and the same through Helm."""

import subprocess
from pathlib import Path
from typing import Any

import yaml

from bateau.control.installation import chart_files, parts_of, rights
from bateau.domain.manifest import Manifest
from bateau.domain.system_names import AGGREGATE
from bateau.kit.json_value import JsonObject, array_at, text_at
from bateau.kit.yaml_writer import write
from bateau.render import validate
from bateau.render.installation.objects import Installation
from bateau.wiring.schemas import VERSIONS, load_schemas
from sources.foreign.programs import helm

SETTINGS = Installation(
    namespace="elsewhere", image="registry.example:5000/bateau:1.2.3", replicas=3, gateway_replicas=5, logs="shown"
)


def printed(settings: Installation) -> list[JsonObject]:
    return [tree for trees in parts_of(settings).values() for tree in trees]


def key(tree: Any) -> tuple[str, str]:
    return text_at(tree, "kind"), text_at(tree, "metadata", "name")


def test_every_object_is_valid_for_every_known_version_of_kubernetes():
    manifests = [Manifest(service=None, target="t", tree=tree, origins={}) for tree in printed(SETTINGS)]
    for version in VERSIONS:
        assert validate(manifests, load_schemas(version)) == ()


def test_the_same_settings_are_the_same_bytes_and_every_setting_is_used():
    assert write(printed(SETTINGS)) == write(printed(SETTINGS))
    text = write(printed(SETTINGS))
    assert "bateau-system" not in text
    assert SETTINGS.image in text
    assert "replicas: 3" in text
    assert "replicas: 5" in text


def test_rights_have_no_wildcard_and_name_their_use():
    for each in rights():
        assert each.says
        assert "*" not in (each.group, *each.resources, *each.verbs)
        assert "secrets" not in each.resources or each.own_namespace


def test_logs_are_out_of_reach_unless_the_installation_says_so():
    """Without the right, nobody reads a log by way of the controller, whatever its dashboard shows."""

    def may_read_logs(settings: Installation) -> list[str]:
        return [
            text_at(tree, "metadata", "name")
            for tree in printed(settings)
            for rule in array_at(tree, "rules")
            if any("log" in str(each) for each in array_at(rule, "resources"))
        ]

    assert may_read_logs(Installation()) == []
    assert may_read_logs(Installation(logs="shown")) == ["bateau-controller-logs"]
    for settings, word in ((Installation(), "hidden"), (Installation(logs="shown"), "shown")):
        trees = {key(tree): tree for tree in printed(settings)}
        deployment: Any = trees["Deployment", "bateau-controller"]
        (container,) = deployment["spec"]["template"]["spec"]["containers"]
        assert container["args"][-2:] == ["--logs", word]


def test_roles_of_others_are_added_by_a_label_and_by_nothing_else():
    trees = {key(tree): tree for tree in printed(SETTINGS)}
    bound: Any = trees["ClusterRole", "bateau-controller"]
    assert "rules" not in bound
    assert bound["aggregationRule"]["clusterRoleSelectors"] == [{"matchLabels": {AGGREGATE: "true"}}]
    base: Any = trees["ClusterRole", "bateau-controller-base"]
    assert base["metadata"]["labels"][AGGREGATE] == "true"


def test_the_rendered_chart_is_what_is_printed(tmp_path: Path):
    for name, text in chart_files().items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)

    def rendered(*words: str, namespace: str) -> dict[tuple[str, str], Any]:
        command = [helm(), "template", "release", str(tmp_path), f"--namespace={namespace}", *words]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        trees = {key(tree): tree for tree in yaml.safe_load_all(done.stdout) if tree}
        # With a definition, every document of its kind would go.
        for tree in trees.values():
            if tree["kind"] == "CustomResourceDefinition":
                assert tree["metadata"].pop("annotations") == {"helm.sh/resource-policy": "keep"}
        return trees

    def expected(settings: Installation) -> dict[tuple[str, str], Any]:
        trees = yaml.safe_load_all(write(printed(settings)))
        return {key(tree): tree for tree in trees if tree["kind"] != "Namespace"}

    assert rendered(namespace="bateau-system") == expected(Installation())
    values = {"image": SETTINGS.image, "replicas": SETTINGS.replicas, "gatewayReplicas": SETTINGS.gateway_replicas}
    values["logs"] = SETTINGS.logs
    words = [f"--set={name}={value}" for name, value in values.items()]
    assert rendered(*words, namespace=SETTINGS.namespace) == expected(SETTINGS)
    # A name that YAML reads as a number.
    assert rendered(namespace="1234") == expected(Installation(namespace="1234"))


def test_only_namespaces_with_a_label_reach_the_models_through_the_gateway():
    trees = {key(tree): tree for tree in printed(SETTINGS)}
    policy: Any = trees["NetworkPolicy", "bateau-gateway"]
    (models, probes) = policy["spec"]["ingress"]
    allowed = {"namespaceSelector": {"matchLabels": {"bateau.dev/gateway-client": "true"}}}
    assert models == {"from": [allowed], "ports": [{"port": 8080}]}
    assert probes == {"ports": [{"port": 19001}]}
    service: Any = trees["Service", "bateau-gateway"]
    assert service["spec"].get("type") is None, "the gateway is not reached from outside of the cluster"
    controller: Any = trees["NetworkPolicy", "bateau-controller"]
    gateways = [{"podSelector": {"matchLabels": {"app.kubernetes.io/name": "bateau-gateway"}}}]
    assert {"from": gateways, "ports": [{"port": 18000}]} in controller["spec"]["ingress"]


def test_the_gateway_has_no_token_and_is_bound_to_no_role():
    trees = {key(tree): tree for tree in printed(SETTINGS)}
    deployment: Any = trees["Deployment", "bateau-gateway"]
    assert deployment["spec"]["template"]["spec"]["automountServiceAccountToken"] is False
    bindings: list[Any] = [tree for (kind, _), tree in trees.items() if kind.endswith("Binding")]
    assert {subject["name"] for each in bindings for subject in each["subjects"]} == {"bateau-controller"}
