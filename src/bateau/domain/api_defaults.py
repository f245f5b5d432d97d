"""The defaults that an API server writes into objects of Kubernetes' own kinds, as a table, and an object with them.

Read by policy.subject, so that rules see an object as an API server shows it to its policies, and by
plan.server_fields, where a default that only one side has is not a difference.

Paths are those of kit.position without indices ("containers[].ports[].protocol"). A default is set only where its
parent exists; a parent that the server adds has an entry of its own before those of its fields.

Sources: `SetDefaults_*` in k8s.io/kubernetes/pkg/apis/*/v1/defaults.go and the generated functions that call them
(Kubernetes 1.37), and the admission plugins ServiceAccount and Priority for pods.

Invariant: a field that the server leaves out although it has a meaning when absent (`hostNetwork: false`) is not here.
Held by tests/domain/test_api_defaults.py::test_a_field_that_means_something_when_absent_has_no_default.
Refused: asking the server for a dry run. A check of a pull request has no cluster.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from bateau.kit.json_value import SCALARS, Json, JsonObject, ReadJson, ReadObject, object_at


@dataclass(frozen=True, slots=True)
class Derived:
    """A default that follows from the fields beside it and from the whole object; None: there is none.

    `completes`: the server also completes a value that is written.
    """

    value: Callable[[ReadObject, ReadObject], ReadJson]
    completes: bool = False


Table: TypeAlias = Mapping[str, Derived | ReadJson]


def _same_as(sibling: str) -> Derived:
    return Derived(lambda beside, _: beside.get(sibling))


def _if(sibling: str, expected: str, value: ReadJson) -> Derived:
    return Derived(lambda beside, _: value if beside.get(sibling) == expected else None)


def _below(path: str, table: Table) -> Table:
    return {f"{path}.{each}": value for each, value in table.items()}


def _pull_policy(beside: ReadObject, _root: ReadObject) -> str:
    image = str(beside.get("image", ""))
    tag = image.rpartition("/")[2].partition("@")[0].partition(":")[2]
    return "Always" if tag == "latest" or (not tag and "@" not in image) else "IfNotPresent"


def _requests(beside: ReadObject, _root: ReadObject) -> ReadObject | None:
    limits, requests = object_at(beside, "limits"), object_at(beside, "requests")
    return {**limits, **requests} or None


def _host_port(beside: ReadObject, root: ReadObject) -> ReadJson:
    return beside.get("containerPort") if object_at(root, "spec").get("hostNetwork") is True else None


def _template_labels(_beside: ReadObject, root: ReadObject) -> ReadJson:
    return object_at(root, "spec", "template", "metadata").get("labels") or None


def _group_of_subject(beside: ReadObject, _root: ReadObject) -> str | None:
    return _RBAC if beside.get("kind") in {"User", "Group"} else None


def _is_external(beside: ReadObject, _root: ReadObject) -> str | None:
    exposed = beside.get("type") in {"NodePort", "LoadBalancer"} or beside.get("externalIPs")
    return "Cluster" if exposed else None


_RBAC: Final = "rbac.authorization.k8s.io"
_MODE: Final = 0o644
_PROBE: Final[Table] = {
    "timeoutSeconds": 1,
    "periodSeconds": 10,
    "successThreshold": 1,
    "failureThreshold": 3,
    "httpGet.path": "/",
    "httpGet.scheme": "HTTP",
    "grpc.service": "",
}
_HTTP_GET: Final[Table] = {"httpGet.path": "/", "httpGet.scheme": "HTTP"}
_CONTAINER: Final[Table] = {
    "imagePullPolicy": Derived(_pull_policy),
    "terminationMessagePath": "/dev/termination-log",
    "terminationMessagePolicy": "File",
    "resources": {},
    "ports[].protocol": "TCP",
    "env[].valueFrom.fieldRef.apiVersion": "v1",
    "env[].valueFrom.resourceFieldRef.divisor": "0",
    **{
        path: value
        for probe in ("livenessProbe", "readinessProbe", "startupProbe")
        for path, value in _below(probe, _PROBE).items()
    },
    **_below("lifecycle.postStart", _HTTP_GET),
    **_below("lifecycle.preStop", _HTTP_GET),
}
_FIELD_REFS: Final[Table] = {
    "items[].fieldRef.apiVersion": "v1",
    "items[].resourceFieldRef.divisor": "0",
}
_VOLUME: Final[Table] = {
    "configMap.defaultMode": _MODE,
    "secret.defaultMode": _MODE,
    "downwardAPI.defaultMode": _MODE,
    **_below("downwardAPI", _FIELD_REFS),
    "projected.defaultMode": _MODE,
    "projected.sources[].serviceAccountToken.expirationSeconds": 3600,
    **_below("projected.sources[].downwardAPI", _FIELD_REFS),
    "hostPath.type": "",
    "ephemeral.volumeClaimTemplate.spec.volumeMode": "Filesystem",
}
_POD_SPEC: Final[Table] = {
    "restartPolicy": "Always",
    "dnsPolicy": "ClusterFirst",
    "schedulerName": "default-scheduler",
    "terminationGracePeriodSeconds": 30,
    "securityContext": {},
    "serviceAccount": _same_as("serviceAccountName"),
    **_below("initContainers[]", _CONTAINER),
    **_below("containers[]", _CONTAINER),
    "volumes[]": Derived(lambda beside, _: None if beside.keys() - {"name"} else {"emptyDir": {}}, completes=True),
    **_below("volumes[]", _VOLUME),
}
_TEMPLATE: Final[Table] = {"spec.template.metadata": {}, **_below("spec.template.spec", _POD_SPEC)}
_POD: Final[Table] = {
    "spec.serviceAccountName": "default",
    **_below("spec", _POD_SPEC),
    "spec.enableServiceLinks": True,
    "spec.preemptionPolicy": "PreemptLowerPriority",
    "spec.priority": 0,
    **{
        f"spec.{containers}[].{path}": value
        for containers in ("initContainers", "containers")
        for path, value in (
            ("resources.requests", Derived(_requests, completes=True)),
            ("ports[].hostPort", Derived(_host_port)),
        )
    },
}
_CLAIM: Final[Table] = {"spec.volumeMode": "Filesystem"}
_WEBHOOK: Final[Table] = {
    "webhooks[].failurePolicy": "Fail",
    "webhooks[].matchPolicy": "Equivalent",
    "webhooks[].namespaceSelector": {},
    "webhooks[].objectSelector": {},
    "webhooks[].timeoutSeconds": 10,
    "webhooks[].clientConfig.service.port": 443,
    "webhooks[].rules[].scope": "*",
}
_ADMISSION_POLICY: Final[Table] = {
    "spec.failurePolicy": "Fail",
    "spec.matchConstraints.matchPolicy": "Equivalent",
    "spec.matchConstraints.namespaceSelector": {},
    "spec.matchConstraints.objectSelector": {},
    "spec.matchConstraints.resourceRules[].scope": "*",
}
_BINDING: Final[Table] = {"roleRef.apiGroup": _RBAC, "subjects[].apiGroup": Derived(_group_of_subject)}

_DEVICES: Final[Table] = {
    f"spec.devices.requests[].{request}.{name}": default
    for request in ("exactly", "firstAvailable[]")
    for name, default in (
        ("allocationMode", "ExactCount"),
        ("count", Derived(lambda beside, _: 1 if beside.get("allocationMode") == "ExactCount" else None)),
    )
}
API_DEFAULTS: Final[Mapping[tuple[str, str], Table]] = {
    ("", "Pod"): _POD,
    ("", "PodTemplate"): _below("template.spec", _POD_SPEC),
    ("", "ReplicationController"): {"spec.replicas": 1, **_TEMPLATE},
    ("", "Namespace"): {
        "metadata.labels": {},
        "metadata.labels.kubernetes.io/metadata.name": Derived(lambda _, root: object_at(root, "metadata").get("name")),
    },
    ("", "Service"): {
        "spec.sessionAffinity": "None",
        "spec.sessionAffinityConfig": _if("sessionAffinity", "ClientIP", {"clientIP": {"timeoutSeconds": 10800}}),
        "spec.type": "ClusterIP",
        "spec.ports[].protocol": "TCP",
        "spec.ports[].targetPort": _same_as("port"),
        "spec.externalTrafficPolicy": Derived(_is_external),
        "spec.internalTrafficPolicy": Derived(
            lambda beside, _: None if beside.get("type") == "ExternalName" else "Cluster"
        ),
        "spec.allocateLoadBalancerNodePorts": _if("type", "LoadBalancer", True),
    },
    ("", "Secret"): {"type": "Opaque"},
    ("", "PersistentVolume"): {"spec.persistentVolumeReclaimPolicy": "Retain", "spec.volumeMode": "Filesystem"},
    ("", "PersistentVolumeClaim"): _CLAIM,
    ("apps", "Deployment"): {
        "spec.replicas": 1,
        "spec.strategy": {},
        "spec.strategy.type": "RollingUpdate",
        "spec.strategy.rollingUpdate": _if("type", "RollingUpdate", {}),
        "spec.strategy.rollingUpdate.maxUnavailable": "25%",
        "spec.strategy.rollingUpdate.maxSurge": "25%",
        "spec.revisionHistoryLimit": 10,
        "spec.progressDeadlineSeconds": 600,
        **_TEMPLATE,
    },
    ("apps", "ReplicaSet"): {"spec.replicas": 1, **_TEMPLATE},
    ("apps", "StatefulSet"): {
        "spec.replicas": 1,
        "spec.podManagementPolicy": "OrderedReady",
        "spec.updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {}},
        "spec.updateStrategy.type": "RollingUpdate",
        "spec.updateStrategy.rollingUpdate.partition": 0,
        "spec.persistentVolumeClaimRetentionPolicy": {},
        "spec.persistentVolumeClaimRetentionPolicy.whenDeleted": "Retain",
        "spec.persistentVolumeClaimRetentionPolicy.whenScaled": "Retain",
        "spec.revisionHistoryLimit": 10,
        **_below("spec.volumeClaimTemplates[]", _CLAIM),
        **_TEMPLATE,
    },
    ("apps", "DaemonSet"): {
        "spec.updateStrategy": {},
        "spec.updateStrategy.type": "RollingUpdate",
        "spec.updateStrategy.rollingUpdate": _if("type", "RollingUpdate", {}),
        "spec.updateStrategy.rollingUpdate.maxUnavailable": 1,
        "spec.updateStrategy.rollingUpdate.maxSurge": 0,
        "spec.revisionHistoryLimit": 10,
        **_TEMPLATE,
    },
    ("batch", "Job"): {
        "metadata.labels": Derived(_template_labels),
        "spec.completions": Derived(lambda beside, _: None if "parallelism" in beside else 1),
        "spec.parallelism": 1,
        "spec.backoffLimit": Derived(lambda beside, _: 2**31 - 1 if "backoffLimitPerIndex" in beside else 6),
        "spec.completionMode": "NonIndexed",
        "spec.suspend": False,
        "spec.podReplacementPolicy": Derived(
            lambda beside, _: "Failed" if "podFailurePolicy" in beside else "TerminatingOrFailed"
        ),
        "spec.manualSelector": False,
        **_TEMPLATE,
    },
    ("batch", "CronJob"): {
        "spec.concurrencyPolicy": "Allow",
        "spec.suspend": False,
        "spec.jobTemplate.metadata": {},
        "spec.successfulJobsHistoryLimit": 3,
        "spec.failedJobsHistoryLimit": 1,
        **_below("spec.jobTemplate", _TEMPLATE),
    },
    ("autoscaling", "HorizontalPodAutoscaler"): {"spec.minReplicas": 1},
    ("networking.k8s.io", "NetworkPolicy"): {
        "spec.podSelector": {},
        "spec.policyTypes": Derived(lambda beside, _: ["Ingress", *(["Egress"] if beside.get("egress") else [])]),
        "spec.ingress[].ports[].protocol": "TCP",
        "spec.egress[].ports[].protocol": "TCP",
    },
    ("resource.k8s.io", "ResourceClaim"): _DEVICES,
    ("resource.k8s.io", "ResourceClaimTemplate"): {"spec.metadata": {}, **_below("spec", _DEVICES)},
    (_RBAC, "RoleBinding"): _BINDING,
    (_RBAC, "ClusterRoleBinding"): _BINDING,
    ("scheduling.k8s.io", "PriorityClass"): {"preemptionPolicy": "PreemptLowerPriority"},
    ("storage.k8s.io", "StorageClass"): {"reclaimPolicy": "Delete", "volumeBindingMode": "Immediate"},
    ("apiextensions.k8s.io", "CustomResourceDefinition"): {
        "spec.conversion": {"strategy": "None"},
        "spec.names.singular": Derived(lambda beside, _: str(beside.get("kind", "")).lower() or None),
        "spec.names.listKind": Derived(lambda beside, _: f"{beside['kind']}List" if "kind" in beside else None),
    },
    ("admissionregistration.k8s.io", "ValidatingAdmissionPolicy"): _ADMISSION_POLICY,
    ("admissionregistration.k8s.io", "ValidatingWebhookConfiguration"): _WEBHOOK,
    ("admissionregistration.k8s.io", "MutatingWebhookConfiguration"): {
        **_WEBHOOK,
        "webhooks[].reinvocationPolicy": "Never",
    },
}


def steps_of(path: str) -> tuple[str, ...]:
    """Split a path of a table; the rest of a path after `labels` or `annotations` is one key with its dots.

    >>> steps_of("spec.ports[].protocol"), steps_of("metadata.labels.a.b/c")
    (('spec', 'ports', '[]', 'protocol'), ('metadata', 'labels', 'a.b/c'))
    """
    found: list[str] = []
    parts = path.split(".")
    for at, part in enumerate(parts):
        name, brackets, _ = part.partition("[]")
        found += [name, "[]"] if brackets else [name]
        if name in ("labels", "annotations") and at + 1 < len(parts):
            return (*found, ".".join(parts[at + 1 :]))
    return tuple(found)


def with_defaults(tree: ReadObject) -> ReadObject:
    """Return an object of one of Kubernetes' kinds as the API server has it: nulls dropped, defaults filled in.

    Fields of another type than the server expects are left as they are.
    """
    group, slash, _ = str(tree.get("apiVersion", "")).partition("/")
    made = {key: _without_nulls(each) for key, each in tree.items() if each is not None}
    node = _NODES.get((group if slash else "", str(tree.get("kind"))))
    if node:
        _fill(made, node, made)
    return made


def _without_nulls(value: ReadJson) -> Json:
    """Return a copy of a value."""
    if isinstance(value, SCALARS):
        return value
    if isinstance(value, Mapping):
        return {key: _without_nulls(each) for key, each in value.items() if each is not None}
    return [_without_nulls(each) for each in value]


@dataclass(slots=True)
class _Node:
    default: Derived | ReadJson = None
    children: dict[str, "_Node"] = field(default_factory=dict[str, "_Node"])


def _fill(value: Json, node: _Node, root: JsonObject) -> None:
    """Add defaults to a mapping or to the items of a list, in the order of the table."""
    if isinstance(value, list) and (item := node.children.get("[]")):
        for each in value:
            if isinstance(each, dict) and isinstance(item.default, Derived):
                more = _without_nulls(item.default.value(each, root))
                each.update(more if isinstance(more, dict) else {})
            _fill(each, item, root)
    elif isinstance(value, dict):
        for name, child in node.children.items():
            default = child.default
            if name not in value or (isinstance(default, Derived) and default.completes):
                given = default.value(value, root) if isinstance(default, Derived) else default
                if given is not None:
                    value[name] = _without_nulls(given)
            if name in value:
                _fill(value[name], child, root)


def _compiled(table: Table) -> _Node:
    root = _Node()
    for path, default in table.items():
        node = root
        for step in steps_of(path):
            node = node.children.setdefault(step, _Node())
        node.default = default
    return root


_NODES: Final = {key: _compiled(table) for key, table in API_DEFAULTS.items()}
