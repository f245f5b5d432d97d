"""What an API server adds to an object by itself, as a table: such fields are no differences.

Called by plan.difference. Paths are those of kit.position without indices ("containers[].env[].value").
Sources: `SetDefaults_*` in k8s.io/kubernetes/pkg/apis/{core,apps,batch,autoscaling,networking,rbac}/v1/defaults.go, and
k8s.io/api. A default that is written out and one that is left out have the same effect.

Invariant: an entry allows a field to be absent on one side only while the other side has the value named here.
Refused: asking the server for a dry run; a plan on a pull request has no cluster.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, cast

# Whether a value may as well be absent, from the value and its siblings.
Negligible = Callable[[Any, Mapping[str, Any]], bool]


@dataclass(slots=True)
class Node:
    """One field of the table: when it is negligible, and its fields and items ("[]").

    `server_only`: only where the observed side has it. `ignored`: whatever both sides have.
    """

    negligible: Negligible | None = None
    server_only: bool = False
    ignored: bool = False
    children: dict[str, "Node"] = field(default_factory=dict[str, "Node"])


@dataclass(frozen=True, slots=True)
class _Server:
    """A value that the server hands out where none is written."""

    test: Negligible


def is_negligible(node: Node | None, value: Any, siblings: Mapping[str, Any], *, observed: bool) -> bool:
    """Say whether a value that stands on one side only (`observed`: on that one) makes no difference."""
    if value is None:
        return True
    if node is None:
        return False
    if node.ignored:
        return True
    if node.negligible is not None and (observed or not node.server_only) and node.negligible(value, siblings):
        return True
    if not isinstance(value, Mapping) or not value or not node.children:
        return False
    fields = cast("Mapping[str, Any]", value)
    return all(is_negligible(node.children.get(key), each, fields, observed=observed) for key, each in fields.items())


def _same_as(sibling: str) -> Negligible:
    return lambda value, siblings: bool(value == siblings.get(sibling))


def _pull_policy(value: Any, siblings: Mapping[str, Any]) -> bool:
    image = str(siblings.get("image", ""))
    tag = image.rpartition("/")[2].partition("@")[0].partition(":")[2]
    latest = tag == "latest" or (not tag and "@" not in image)
    return bool(value == ("Always" if latest else "IfNotPresent"))


def _policy_types(value: Any, siblings: Mapping[str, Any]) -> bool:
    return bool(value == (["Ingress", "Egress"] if siblings.get("egress") else ["Ingress"]))


_SERVER: Final = _Server(lambda _value, _siblings: True)
_IGNORED: Final = object()

_METADATA: Final[dict[str, Any]] = {
    "status": _IGNORED,
    "metadata.managedFields": _IGNORED,
    "metadata.resourceVersion": _IGNORED,
    "metadata.uid": _IGNORED,
    "metadata.creationTimestamp": _IGNORED,
    "metadata.generation": _IGNORED,
    "metadata.selfLink": _IGNORED,
    "metadata.ownerReferences": _SERVER,
    "metadata.finalizers": _SERVER,
    "metadata.deletionTimestamp": _IGNORED,
    "metadata.deletionGracePeriodSeconds": _IGNORED,
    "metadata.namespace": "default",
    "metadata.labels": {},
    "metadata.annotations": {},
    "metadata.annotations.kubectl.kubernetes.io/last-applied-configuration": _IGNORED,
    "metadata.annotations.deployment.kubernetes.io/revision": _IGNORED,
    "metadata.annotations.deprecated.daemonset.template.generation": _SERVER,
}
_PROBE: Final[dict[str, Any]] = {
    "initialDelaySeconds": 0,
    "timeoutSeconds": 1,
    "periodSeconds": 10,
    "successThreshold": 1,
    "failureThreshold": 3,
    "httpGet.scheme": "HTTP",
    "httpGet.path": "/",
    "grpc.service": "",
}
_CONTAINER: Final[dict[str, Any]] = {
    "imagePullPolicy": _pull_policy,
    "terminationMessagePath": "/dev/termination-log",
    "terminationMessagePolicy": "File",
    "resources": {},
    "ports[].protocol": "TCP",
    "env[].value": "",
    "env[].valueFrom.fieldRef.apiVersion": "v1",
    "env[].valueFrom.resourceFieldRef.divisor": "0",
    "volumeMounts[].readOnly": False,
    **{f"{probe}.{path}": value for probe in ("livenessProbe", "readinessProbe", "startupProbe")
       for path, value in _PROBE.items()},
    "lifecycle.preStop.httpGet.scheme": "HTTP",
    "lifecycle.postStart.httpGet.scheme": "HTTP",
}  # fmt: skip
_POD: Final[dict[str, Any]] = {
    "metadata.creationTimestamp": _IGNORED,
    "metadata.labels": {},
    "metadata.annotations": {},
    # Set by `kubectl rollout restart`: a person's wish and no part of what is written.
    "metadata.annotations.kubectl.kubernetes.io/restartedAt": _SERVER,
    "spec.restartPolicy": "Always",
    "spec.dnsPolicy": "ClusterFirst",
    "spec.schedulerName": "default-scheduler",
    "spec.terminationGracePeriodSeconds": 30,
    "spec.securityContext": {},
    "spec.serviceAccount": _same_as("serviceAccountName"),
    "spec.serviceAccountName": "default",
    "spec.enableServiceLinks": True,
    "spec.preemptionPolicy": "PreemptLowerPriority",
    "spec.priority": 0,
    "spec.hostNetwork": False,
    "spec.hostPID": False,
    "spec.hostIPC": False,
    "spec.shareProcessNamespace": False,
    **{f"spec.{group}[].{path}": value for group in ("containers", "initContainers")
       for path, value in _CONTAINER.items()},
    "spec.volumes[].configMap.defaultMode": 420,
    "spec.volumes[].secret.defaultMode": 420,
    "spec.volumes[].downwardAPI.defaultMode": 420,
    "spec.volumes[].projected.defaultMode": 420,
    "spec.volumes[].projected.sources[].serviceAccountToken.expirationSeconds": 3600,
    "spec.volumes[].downwardAPI.items[].fieldRef.apiVersion": "v1",
    "spec.volumes[].hostPath.type": "",
    "spec.topologySpreadConstraints[].nodeAffinityPolicy": "Honor",
    "spec.topologySpreadConstraints[].nodeTaintsPolicy": "Ignore",
}  # fmt: skip
_CLAIM: Final[dict[str, Any]] = {
    "spec.volumeMode": "Filesystem",
    "spec.volumeName": _SERVER,
    "spec.storageClassName": _SERVER,
    "status": _IGNORED,
}
_JOB: Final[dict[str, Any]] = {
    "spec.backoffLimit": 6,
    "spec.completions": 1,
    "spec.parallelism": 1,
    "spec.suspend": False,
    "spec.completionMode": "NonIndexed",
    "spec.manualSelector": False,
    "spec.podReplacementPolicy": "TerminatingOrFailed",
    "spec.selector": _SERVER,
    "spec.template.metadata.labels.controller-uid": _SERVER,
    "spec.template.metadata.labels.job-name": _SERVER,
    "spec.template.metadata.labels.batch.kubernetes.io/controller-uid": _SERVER,
    "spec.template.metadata.labels.batch.kubernetes.io/job-name": _SERVER,
    **{f"spec.template.{path}": value for path, value in _POD.items()},
}
_TEMPLATE: Final[dict[str, Any]] = {f"spec.template.{path}": value for path, value in _POD.items()}
_TABLES: Final[dict[tuple[str, str], dict[str, Any]]] = {
    ("", "Pod"): _POD,
    ("", "Namespace"): {
        "metadata.labels.kubernetes.io/metadata.name": _SERVER,
        "spec": _SERVER,
    },
    ("", "Service"): {
        "spec.type": "ClusterIP",
        "spec.clusterIP": _Server(lambda value, _: value != "None"),
        "spec.clusterIPs": _Server(lambda value, _: value != ["None"]),
        "spec.ipFamilies": _SERVER,
        "spec.ipFamilyPolicy": _SERVER,
        "spec.sessionAffinity": "None",
        "spec.internalTrafficPolicy": "Cluster",
        "spec.externalTrafficPolicy": "Cluster",
        "spec.allocateLoadBalancerNodePorts": True,
        "spec.healthCheckNodePort": _SERVER,
        "spec.publishNotReadyAddresses": False,
        "spec.ports[].protocol": "TCP",
        "spec.ports[].targetPort": _same_as("port"),
        "spec.ports[].nodePort": _SERVER,
    },
    ("", "Secret"): {"type": "Opaque"},
    ("", "ServiceAccount"): {"secrets": _SERVER, "imagePullSecrets": _SERVER},
    ("", "PersistentVolumeClaim"): {
        **_CLAIM,
        "metadata.annotations.pv.kubernetes.io/bind-completed": _SERVER,
        "metadata.annotations.pv.kubernetes.io/bound-by-controller": _SERVER,
        "metadata.annotations.volume.kubernetes.io/storage-provisioner": _SERVER,
        "metadata.annotations.volume.beta.kubernetes.io/storage-provisioner": _SERVER,
        "metadata.annotations.volume.kubernetes.io/selected-node": _SERVER,
    },
    ("apps", "Deployment"): {
        "spec.replicas": 1,
        "spec.progressDeadlineSeconds": 600,
        "spec.revisionHistoryLimit": 10,
        "spec.minReadySeconds": 0,
        "spec.paused": False,
        "spec.strategy.type": "RollingUpdate",
        "spec.strategy.rollingUpdate.maxSurge": "25%",
        "spec.strategy.rollingUpdate.maxUnavailable": "25%",
        **_TEMPLATE,
    },
    ("apps", "StatefulSet"): {
        "spec.replicas": 1,
        "spec.revisionHistoryLimit": 10,
        "spec.minReadySeconds": 0,
        "spec.podManagementPolicy": "OrderedReady",
        "spec.serviceName": "",
        "spec.updateStrategy.type": "RollingUpdate",
        "spec.updateStrategy.rollingUpdate.partition": 0,
        "spec.persistentVolumeClaimRetentionPolicy.whenDeleted": "Retain",
        "spec.persistentVolumeClaimRetentionPolicy.whenScaled": "Retain",
        "spec.volumeClaimTemplates[].apiVersion": "v1",
        "spec.volumeClaimTemplates[].kind": "PersistentVolumeClaim",
        "spec.volumeClaimTemplates[].metadata.creationTimestamp": _IGNORED,
        **{f"spec.volumeClaimTemplates[].{path}": value for path, value in _CLAIM.items()},
        **_TEMPLATE,
    },
    ("apps", "DaemonSet"): {
        "spec.revisionHistoryLimit": 10,
        "spec.minReadySeconds": 0,
        "spec.updateStrategy.type": "RollingUpdate",
        "spec.updateStrategy.rollingUpdate.maxSurge": 0,
        "spec.updateStrategy.rollingUpdate.maxUnavailable": 1,
        **_TEMPLATE,
    },
    ("batch", "Job"): _JOB,
    ("batch", "CronJob"): {
        "spec.concurrencyPolicy": "Allow",
        "spec.suspend": False,
        "spec.successfulJobsHistoryLimit": 3,
        "spec.failedJobsHistoryLimit": 1,
        **{f"spec.jobTemplate.{path}": value for path, value in _JOB.items()},
    },
    ("autoscaling", "HorizontalPodAutoscaler"): {
        "spec.minReplicas": 1,
        "spec.behavior.scaleUp": _SERVER,
        "spec.behavior.scaleDown.policies": _SERVER,
        "spec.behavior.scaleDown.selectPolicy": _SERVER,
    },
    ("networking.k8s.io", "NetworkPolicy"): {
        "spec.policyTypes": _policy_types,
        "spec.ingress[].ports[].protocol": "TCP",
        "spec.egress[].ports[].protocol": "TCP",
    },
    ("rbac.authorization.k8s.io", "RoleBinding"): {
        "roleRef.apiGroup": "rbac.authorization.k8s.io",
        "subjects[].apiGroup": "",
    },
    ("rbac.authorization.k8s.io", "ClusterRoleBinding"): {
        "roleRef.apiGroup": "rbac.authorization.k8s.io",
        "subjects[].apiGroup": "",
    },
    ("apiextensions.k8s.io", "CustomResourceDefinition"): {
        "spec.conversion.strategy": "None",
        "spec.names.listKind": _SERVER,
        "spec.names.singular": _SERVER,
        "spec.preserveUnknownFields": False,
    },
    ("admissionregistration.k8s.io", "ValidatingAdmissionPolicy"): {
        "spec.failurePolicy": "Fail",
        "spec.matchConstraints.matchPolicy": "Equivalent",
        "spec.matchConstraints.namespaceSelector": {},
        "spec.matchConstraints.objectSelector": {},
        "spec.matchConstraints.resourceRules[].scope": "*",
    },
}


def server_fields(group: str, kind: str) -> Node:
    """Return the table of a kind; of a kind that is not in it, what every object has."""
    return _COMPILED.get((group, kind), _PLAIN)


def _steps(path: str) -> Iterator[str]:
    """Take a path of the table apart; what follows `labels` or `annotations` is one key, dots and all."""
    parts = path.split(".")
    for at, part in enumerate(parts):
        name, brackets, _ = part.partition("[]")
        yield name
        if brackets:
            yield "[]"
        if name in ("labels", "annotations") and at + 1 < len(parts):
            yield ".".join(parts[at + 1 :])
            return


def _equals(expected: Any) -> Negligible:
    # In Python 1 == True; in a manifest they are two values.
    return lambda value, _: type(value) is type(expected) and value == expected


def _compiled(table: Mapping[str, Any]) -> Node:
    root = Node()
    for path, expected in table.items():
        node = root
        for step in _steps(path):
            node = node.children.setdefault(step, Node())
        if expected is _IGNORED:
            node.ignored = True
        elif isinstance(expected, _Server):
            node.negligible, node.server_only = expected.test, True
        else:
            node.negligible = cast("Negligible", expected) if callable(expected) else _equals(expected)
    return root


_PLAIN: Final = _compiled(_METADATA)
_COMPILED: Final = {key: _compiled({**_METADATA, **table}) for key, table in _TABLES.items()}
