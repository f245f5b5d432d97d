"""Objects with the defaults of an API server. A plan uses the same table to ignore equal defaults."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from bateau.domain.api_defaults import API_DEFAULTS
from bateau.domain.api_defaults import with_defaults as objects_with_defaults
from bateau.domain.api_resources import API_RESOURCES
from bateau.plan.difference import edits
from bateau.plan.server_fields import server_fields

POD = "{containers: [{name: a, image: 'r.example/a:1'}]}"
TEMPLATE = f"template: {{metadata: {{labels: {{a: b}}}}, spec: {POD}}}"
OBJECTS = f"""
apiVersion: v1
kind: Pod
metadata: {{name: a}}
spec:
  hostNetwork: true
  volumes: [{{name: scratch}}, {{name: c, configMap: {{name: c}}}}]
  containers:
    - name: a
      image: a@sha256:0
      ports: [{{containerPort: 80}}]
      resources: {{limits: {{cpu: 1, memory: 1Gi}}}}
      livenessProbe: {{httpGet: {{port: 80}}}}
      env: [{{name: IP, valueFrom: {{fieldRef: {{fieldPath: status.podIP}}}}}}]
---
{{apiVersion: apps/v1, kind: Deployment, metadata: {{name: a}}, spec: {{{TEMPLATE}}}}}
---
{{apiVersion: apps/v1, kind: Deployment, metadata: {{name: a}}, spec: {{strategy: {{type: Recreate}}, {TEMPLATE}}}}}
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {{name: a}}
spec: {{{TEMPLATE}, volumeClaimTemplates: [{{spec: {{}}}}]}}
---
{{apiVersion: apps/v1, kind: DaemonSet, metadata: {{name: a}}, spec: {{{TEMPLATE}}}}}
---
{{apiVersion: batch/v1, kind: Job, metadata: {{name: a}}, spec: {{{TEMPLATE}}}}}
---
{{apiVersion: batch/v1, kind: CronJob, metadata: {{name: a}}, spec: {{jobTemplate: {{spec: {{{TEMPLATE}}}}}}}}}
---
{{apiVersion: v1, kind: Service, metadata: {{name: a}}, spec: {{ports: [{{port: 80}}]}}}}
---
{{apiVersion: v1, kind: Service, metadata: {{name: a}}, spec: {{type: LoadBalancer, ports: [{{port: 80}}]}}}}
---
{{apiVersion: v1, kind: Namespace, metadata: {{name: a}}}}
---
{{apiVersion: v1, kind: Secret, metadata: {{name: a}}, data: null}}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {{name: a}}
spec: {{egress: [{{ports: [{{port: 1}}]}}]}}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {{name: a}}
roleRef: {{kind: Role, name: a}}
subjects: [{{kind: User, name: a}}, {{kind: ServiceAccount, name: b}}]
---
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {{name: boats.acme.dev}}
spec: {{names: {{kind: Boat, plural: boats}}}}
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingWebhookConfiguration
metadata: {{name: a}}
webhooks: [{{name: a.acme.dev, rules: [{{resources: [pods]}}]}}]
"""
TREES: list[dict[str, Any]] = list(yaml.safe_load_all(OBJECTS))
GOLDEN = Path(__file__).parent.parent / "golden" / "kubernetes"


def with_defaults(tree: Any) -> Any:
    """Return the object with its defaults."""
    return objects_with_defaults(tree)


def _named(tree: dict[str, Any]) -> str:
    return f"{tree['kind']}-{sorted(tree.get('spec', {}))}"


def test_an_object_has_the_defaults_of_its_kind() -> None:
    """F9, against the functions of Kubernetes that are named in the module."""
    pod, deployment, recreate, *_ = map(with_defaults, TREES)
    (container,) = pod["spec"]["containers"]
    assert container["imagePullPolicy"] == "IfNotPresent"
    assert container["ports"] == [{"containerPort": 80, "protocol": "TCP", "hostPort": 80}]
    assert container["resources"]["requests"] == {"cpu": 1, "memory": "1Gi"}
    assert container["livenessProbe"]["httpGet"] == {"port": 80, "path": "/", "scheme": "HTTP"}
    assert container["livenessProbe"]["periodSeconds"] == 10
    assert container["env"][0]["valueFrom"]["fieldRef"]["apiVersion"] == "v1"
    assert pod["spec"]["volumes"] == [
        {"name": "scratch", "emptyDir": {}},
        {"name": "c", "configMap": {"name": "c", "defaultMode": 0o644}},
    ]
    assert deployment["spec"]["replicas"] == 1
    assert deployment["spec"]["strategy"] == {
        "type": "RollingUpdate",
        "rollingUpdate": {"maxUnavailable": "25%", "maxSurge": "25%"},
    }
    assert "enableServiceLinks" not in deployment["spec"]["template"]["spec"]  # of pods only
    assert recreate["spec"]["strategy"] == {"type": "Recreate"}


def test_a_default_that_follows_from_other_fields_is_derived() -> None:
    job, service, balancer, namespace = (with_defaults(TREES[number]) for number in (5, 7, 8, 9))
    assert (job["spec"]["completions"], job["spec"]["parallelism"], job["metadata"]["labels"]) == (1, 1, {"a": "b"})
    assert service["spec"]["type"] == "ClusterIP"
    assert service["spec"]["ports"] == [{"port": 80, "protocol": "TCP", "targetPort": 80}]
    assert "externalTrafficPolicy" not in service["spec"]
    assert balancer["spec"]["externalTrafficPolicy"] == "Cluster"
    assert namespace["metadata"]["labels"] == {"kubernetes.io/metadata.name": "a"}
    binding = with_defaults(TREES[12])
    assert [each.get("apiGroup") for each in binding["subjects"]] == ["rbac.authorization.k8s.io", None]


def test_requests_of_a_pod_are_completed_from_its_limits() -> None:
    resources = {"limits": {"cpu": 1, "memory": "1Gi"}, "requests": {"cpu": "500m"}}
    spec = {"containers": [{"name": "a", "resources": resources}]}
    made = with_defaults({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}, "spec": spec})
    assert made["spec"]["containers"][0]["resources"]["requests"] == {"cpu": "500m", "memory": "1Gi"}


@pytest.mark.parametrize("field", ["hostNetwork", "hostPID", "hostIPC", "shareProcessNamespace", "hostUsers"])
def test_a_field_that_means_something_when_absent_has_no_default(field: str) -> None:
    assert not [path for table in API_DEFAULTS.values() for path in table if path.split(".")[-1] == field]


def test_nulls_are_dropped_and_a_value_of_another_type_stays() -> None:
    assert with_defaults(TREES[10]) == {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "a"},
        "type": "Opaque",
    }
    odd = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "a"}, "spec": ["x"]}
    assert with_defaults(odd) == odd


@pytest.mark.parametrize("tree", TREES, ids=_named)
def test_defaults_change_nothing_that_is_written_and_are_filled_in_once(tree: dict[str, Any]) -> None:
    before = repr(tree)
    made = with_defaults(tree)
    assert repr(tree) == before
    assert with_defaults(made) == made


def _rendered() -> list[dict[str, Any]]:
    return [tree for path in sorted(GOLDEN.rglob("*.yaml")) for tree in yaml.safe_load_all(path.read_text()) if tree]


@pytest.mark.parametrize("tree", [*TREES, *_rendered()], ids=lambda tree: f"{tree['kind']}-{tree['metadata']['name']}")
def test_a_plan_sees_no_difference_between_an_object_and_the_same_with_defaults(tree: dict[str, Any]) -> None:
    """A plan against a live cluster compares the object of the server with the rendered one."""
    group = tree["apiVersion"].rpartition("/")[0]
    made = with_defaults(tree)
    if tree["kind"] == "Job":
        made = {**made, "metadata": tree["metadata"]}  # labels that the server copies are not negligible by themselves
    assert list(edits(made, tree, server_fields(group, tree["kind"]))) == []


def test_every_kind_in_the_table_is_one_of_kubernetes() -> None:
    assert API_DEFAULTS.keys() <= API_RESOURCES.keys()
