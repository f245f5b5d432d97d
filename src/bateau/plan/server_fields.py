"""The fields that an API server adds to an object by itself, as a table: they are not differences.

Called by plan.difference. The defaults come from domain.api_defaults; this table adds the fields that mean the same
whether they are absent or have a certain value, and those that controllers and allocators write. Paths are those of
kit.position without indices ("containers[].env[].value"). A default that is written out and one that is left out have
the same effect.

Invariant: an entry allows a field to be absent on one side only while the other side has the value named here. Held by
tests/plan/test_delivery.py.
Refused: asking the server for a dry run; a plan on a pull request has no cluster.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Final, TypeAlias

from bateau.domain.api_defaults import API_DEFAULTS, Derived, steps_of
from bateau.domain.change import FieldValue
from bateau.kit.json_value import ReadJson, ReadObject

# Whether a value may as well be absent, from the value and its siblings.
Negligible = Callable[[FieldValue, ReadObject], bool]


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


class _Ignored(Enum):
    IGNORED = "ignored"


_IGNORED: Final = _Ignored.IGNORED
Table: TypeAlias = Mapping[str, ReadJson | Derived | _Server | _Ignored | Negligible]


def is_negligible(node: Node | None, value: FieldValue, siblings: ReadObject, *, observed: bool) -> bool:
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
    return all(is_negligible(node.children.get(key), each, value, observed=observed) for key, each in value.items())


def _group_of_subject(value: FieldValue, siblings: ReadObject) -> bool:
    return bool(value == ("rbac.authorization.k8s.io" if siblings.get("kind") in {"User", "Group"} else ""))


_SERVER: Final = _Server(lambda _value, _siblings: True)
_HOST_PORT: Final = _Server(lambda value, siblings: bool(value == siblings.get("containerPort")))  # with hostNetwork

_METADATA: Final[Table] = {
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
    "spec.jobTemplate.metadata": {},
    "metadata.annotations": {},
    "metadata.annotations.kubectl.kubernetes.io/last-applied-configuration": _IGNORED,
    "metadata.annotations.deployment.kubernetes.io/revision": _IGNORED,
    "metadata.annotations.deprecated.daemonset.template.generation": _SERVER,
}
# Fields that mean the same absent as with this value, although the server does not write them out; and fields that it
# writes in a Pod, but not in the template of another object.
_CONTAINER: Final[Table] = {
    "env[].value": "",
    "volumeMounts[].readOnly": False,
    **{f"{probe}.initialDelaySeconds": 0 for probe in ("livenessProbe", "readinessProbe", "startupProbe")},
}
_POD: Final[Table] = {
    "metadata.creationTimestamp": _IGNORED,
    "metadata.labels": {},
    "metadata.annotations": {},
    # Set by `kubectl rollout restart`: a person asked for it, and no spec has it.
    "metadata.annotations.kubectl.kubernetes.io/restartedAt": _SERVER,
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
    "spec.volumes[].emptyDir": {},
    "spec.topologySpreadConstraints[].nodeAffinityPolicy": "Honor",
    "spec.topologySpreadConstraints[].nodeTaintsPolicy": "Ignore",
}  # fmt: skip
_CLAIM: Final[Table] = {
    "spec.volumeMode": "Filesystem",
    "spec.volumeName": _SERVER,
    "spec.storageClassName": _SERVER,
    "status": _IGNORED,
}
_TEMPLATE: Final[Table] = {f"spec.template.{path}": value for path, value in _POD.items()}
_JOB: Final[Table] = {
    "spec.completions": 1,
    "spec.selector": _SERVER,
    "spec.template.metadata.labels.controller-uid": _SERVER,
    "spec.template.metadata.labels.job-name": _SERVER,
    "spec.template.metadata.labels.batch.kubernetes.io/controller-uid": _SERVER,
    "spec.template.metadata.labels.batch.kubernetes.io/job-name": _SERVER,
    **_TEMPLATE,
}
_TABLES: Final[dict[tuple[str, str], Table]] = {
    ("", "Pod"): {
        **_POD,
        **{f"spec.{group}[].ports[].hostPort": _HOST_PORT for group in ("containers", "initContainers")},
    },
    ("", "Namespace"): {
        "metadata.labels.kubernetes.io/metadata.name": _SERVER,
        "spec": _SERVER,
    },
    ("", "Service"): {
        "spec.clusterIP": _Server(lambda value, _: value != "None"),
        "spec.clusterIPs": _Server(lambda value, _: value != ["None"]),
        "spec.ipFamilies": _SERVER,
        "spec.ipFamilyPolicy": _SERVER,
        "spec.healthCheckNodePort": _SERVER,
        "spec.publishNotReadyAddresses": False,
        "spec.ports[].nodePort": _SERVER,
    },
    ("", "ServiceAccount"): {"secrets": _SERVER, "imagePullSecrets": _SERVER},
    ("", "PersistentVolumeClaim"): {
        **_CLAIM,
        "metadata.annotations.pv.kubernetes.io/bind-completed": _SERVER,
        "metadata.annotations.pv.kubernetes.io/bound-by-controller": _SERVER,
        "metadata.annotations.volume.kubernetes.io/storage-provisioner": _SERVER,
        "metadata.annotations.volume.beta.kubernetes.io/storage-provisioner": _SERVER,
        "metadata.annotations.volume.kubernetes.io/selected-node": _SERVER,
    },
    ("apps", "Deployment"): {"spec.minReadySeconds": 0, "spec.paused": False, **_TEMPLATE},
    ("apps", "ReplicaSet"): {"spec.minReadySeconds": 0, **_TEMPLATE},
    ("apps", "StatefulSet"): {
        "spec.minReadySeconds": 0,
        "spec.serviceName": "",
        "spec.volumeClaimTemplates[].apiVersion": "v1",
        "spec.volumeClaimTemplates[].kind": "PersistentVolumeClaim",
        "spec.volumeClaimTemplates[].metadata.creationTimestamp": _IGNORED,
        **{f"spec.volumeClaimTemplates[].{path}": value for path, value in _CLAIM.items()},
        **_TEMPLATE,
    },
    ("apps", "DaemonSet"): {"spec.minReadySeconds": 0, **_TEMPLATE},
    ("batch", "Job"): _JOB,
    ("batch", "CronJob"): {
        f"spec.jobTemplate.{path}": value for path, value in {**API_DEFAULTS["batch", "Job"], **_JOB}.items()
    },
    ("autoscaling", "HorizontalPodAutoscaler"): {
        "spec.behavior.scaleUp": _SERVER,
        "spec.behavior.scaleDown.policies": _SERVER,
        "spec.behavior.scaleDown.selectPolicy": _SERVER,
    },
    ("resource.k8s.io", "ResourceClaimTemplate"): {"spec.metadata.creationTimestamp": _IGNORED},
    # Filled with the rules of the roles that the aggregation selects.
    ("rbac.authorization.k8s.io", "ClusterRole"): {
        "rules": _Server(lambda _, beside: bool(beside.get("aggregationRule")))
    },
    ("rbac.authorization.k8s.io", "RoleBinding"): {"subjects[].apiGroup": _group_of_subject},
    ("rbac.authorization.k8s.io", "ClusterRoleBinding"): {"subjects[].apiGroup": _group_of_subject},
    ("apiextensions.k8s.io", "CustomResourceDefinition"): {
        "spec.conversion.strategy": "None",
        "spec.preserveUnknownFields": False,
    },
}


def server_fields(group: str, kind: str) -> Node:
    """Return the table of a kind; for a kind that is not in it, the fields that every object has."""
    return _COMPILED.get((group, kind), _PLAIN)


def _equals(expected: ReadJson) -> Negligible:
    # In Python 1 == True; in a manifest they are two values.
    return lambda value, _: type(value) is type(expected) and value == expected


def _is_default(name: str, default: Derived) -> Negligible:
    """Whether a value is the one that the server derives from the other fields."""

    def negligible(value: FieldValue, siblings: ReadObject) -> bool:
        expected = default.value({key: each for key, each in siblings.items() if key != name}, {})
        return expected is not None and _equals(expected)(value, siblings)

    return negligible


def _compiled(table: Table) -> Node:
    root = Node()
    for path, expected in table.items():
        node, steps = root, steps_of(path)
        for step in steps:
            node = node.children.setdefault(step, Node())
        if expected is _IGNORED:
            node.ignored = True
        elif isinstance(expected, _Server):
            node.negligible, node.server_only = expected.test, True
        elif isinstance(expected, Derived):
            node.negligible = None if steps[-1] == "[]" else _is_default(steps[-1], expected)
        else:
            node.negligible = expected if callable(expected) else _equals(expected)
    return root


_PLAIN: Final = _compiled(_METADATA)
_COMPILED: Final = {
    key: _compiled({**API_DEFAULTS.get(key, {}), **_METADATA, **_TABLES.get(key, {})})
    for key in API_DEFAULTS.keys() | _TABLES.keys()
}
