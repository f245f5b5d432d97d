"""Say what an edit does to a running object: in place, a restart of its pods, or a new object.

Called by plan.delivery.
Sources: `ValidateUpdate` in k8s.io/kubernetes/pkg/apis/*/validation (late 2026); kubernetes.io, "Immutable Secrets".

Invariant: a kind that is in no table gives "unknown" and never "in place". Held by
tests/plan/test_delivery.py::test_an_edit_of_a_kind_that_nothing_is_known_of_is_not_checked.
Refused: learning it from a dry run; see plan.server_fields.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from bateau.domain.change import ABSENT, Effect, FieldChange, ObjectKey
from bateau.kit.json_value import ReadObject, array_at, object_at, text_at

GroupKind = tuple[str, str]

_RBAC: Final = "rbac.authorization.k8s.io"
_IMMUTABLE: Final[Mapping[GroupKind, str]] = {
    ("", "PersistentVolume"): r"spec\.(csi|nfs|hostPath|local|iscsi|nodeAffinity|volumeMode)",
    ("", "PersistentVolumeClaim"): r"spec\.(?!resources\b|volumeAttributesClassName\b)",
    (
        "",
        "Pod",
    ): r"spec\.(?!containers\[[^]]*\]\.image$|initContainers\[[^]]*\]\.image$|activeDeadlineSeconds|tolerations"
    r"|terminationGracePeriodSeconds)",
    ("", "Secret"): r"type$",
    ("", "Service"): r"spec\.(clusterIP|clusterIPs|ipFamilies\[0\])",
    ("apps", "DaemonSet"): r"spec\.selector\b",
    ("apps", "Deployment"): r"spec\.selector\b",
    ("apps", "ReplicaSet"): r"spec\.selector\b",
    ("apps", "StatefulSet"): r"spec\.(?!replicas\b|ordinals\b|template\b|updateStrategy\b|revisionHistoryLimit\b"
    r"|minReadySeconds\b|persistentVolumeClaimRetentionPolicy\b)",
    ("batch", "Job"): r"spec\.(template|selector|completionMode|completions|podFailurePolicy|backoffLimitPerIndex)\b",
    (_RBAC, "ClusterRoleBinding"): r"roleRef\b",
    (_RBAC, "RoleBinding"): r"roleRef\b",
    ("apiextensions.k8s.io", "CustomResourceDefinition"): r"spec\.(group|scope|names\.(plural|kind))\b",
    ("networking.k8s.io", "IngressClass"): r"spec\.(controller|parameters)\b",
    ("node.k8s.io", "RuntimeClass"): r"handler$",
    ("resource.k8s.io", "ResourceClaim"): r"spec\b",
    ("resource.k8s.io", "ResourceClaimTemplate"): r"spec\b",
    ("scheduling.k8s.io", "PriorityClass"): r"(value|preemptionPolicy)$",
    ("storage.k8s.io", "StorageClass"): r"(provisioner|parameters|reclaimPolicy|volumeBindingMode)\b",
}
_PATTERNS: Final = {key: re.compile(pattern) for key, pattern in _IMMUTABLE.items()}
_TEMPLATED: Final = {("apps", "Deployment"), ("apps", "StatefulSet"), ("apps", "DaemonSet"), ("apps", "ReplicaSet")}
_WORKLOADS: Final = {*_TEMPLATED, ("batch", "Job"), ("batch", "CronJob"), ("", "Pod")}
_GROUPS_KNOWN: Final = {
    "", "apps", "batch", "autoscaling", "policy", "networking.k8s.io", _RBAC, "apiextensions.k8s.io", "storage.k8s.io",
    "scheduling.k8s.io", "node.k8s.io", "admissionregistration.k8s.io", "discovery.k8s.io", "coordination.k8s.io",
    "gateway.networking.k8s.io", "resource.k8s.io",
}  # fmt: skip

# Kinds whose removal deletes data, or other objects, with them. It is never done without confirmation.
_DATA: Final = "its data may be lost"
_DEPLOYED: Final = "the objects that it deploys may be deleted with it"
_DESTRUCTIVE: Final[Mapping[GroupKind, str]] = {
    ("", "Namespace"): "every object in the namespace is deleted with it",
    ("", "PersistentVolume"): _DATA,
    ("", "PersistentVolumeClaim"): _DATA,
    ("apiextensions.k8s.io", "CustomResourceDefinition"): "every object of this kind is deleted with it",
    ("snapshot.storage.k8s.io", "VolumeSnapshot"): _DATA,
    ("snapshot.storage.k8s.io", "VolumeSnapshotContent"): _DATA,
    ("argoproj.io", "Application"): _DEPLOYED,
    ("argoproj.io", "ApplicationSet"): _DEPLOYED,
    ("helm.toolkit.fluxcd.io", "HelmRelease"): _DEPLOYED,
    ("kustomize.toolkit.fluxcd.io", "Kustomization"): _DEPLOYED,
    ("cdi.kubevirt.io", "DataVolume"): _DATA,
    ("clickhouse.altinity.com", "ClickHouseInstallation"): _DATA,
    ("cluster.x-k8s.io", "Cluster"): "the cluster and its machines are deleted with it",
    ("elasticsearch.k8s.elastic.co", "Elasticsearch"): _DATA,
    ("kafka.strimzi.io", "KafkaTopic"): _DATA,
    ("kubevirt.io", "VirtualMachine"): _DATA,
    ("pgv2.percona.com", "PerconaPGCluster"): _DATA,
    ("postgresql.cnpg.io", "Cluster"): _DATA,
    ("psmdb.percona.com", "PerconaServerMongoDB"): _DATA,
    ("pxc.percona.com", "PerconaXtraDBCluster"): _DATA,
}
_LOST: Final[Mapping[GroupKind, str]] = {
    ("apps", "StatefulSet"): "its pods stop; its volumes are kept",
    ("", "Secret"): "its values cannot be recovered",
}
_VOLUMES_DELETED: Final = "its volumes are deleted with it"


def effect_of(key: ObjectKey, change: FieldChange, observed: ReadObject) -> Effect | None:
    """Return the effect of one edit; None for Bateau's own documents, whose objects say it."""
    group, kind = key[:2]
    if group == "bateau.dev":
        return None
    pattern = _PATTERNS.get((group, kind))
    if pattern and pattern.match(change.path) and not _allowed(kind, change):
        return "recreate"
    if kind in ("ConfigMap", "Secret") and not group and observed.get("immutable") is True:
        return "recreate" if not change.path.startswith("metadata") else "in place"
    if (group, kind) in _TEMPLATED and re.match(r"spec\.template\b", change.path):
        return "restart"
    if change.path.startswith("metadata.") or group in _GROUPS_KNOWN:
        return "in place"
    return "unknown"


def _allowed(kind: str, change: FieldChange) -> bool:
    """Whether the field was empty: a Service may be given an address, and a claim its volume."""
    return kind in ("Service", "PersistentVolumeClaim") and change.before in (ABSENT, "", None)


def reason_of(key: ObjectKey, effect: Effect, paths: Sequence[str], observed: ReadObject) -> str:
    """Return the effect in words; `paths` are those that have it."""
    shown = ", ".join(paths[:3]) + (f" and {len(paths) - 3} more" if len(paths) > 3 else "")  # noqa: PLR2004 - a line
    if effect == "recreate":
        lost = lost_with(key, observed)
        return (
            f"{shown} cannot be changed in an existing {key[1]}: the object is deleted and recreated"
            f"{f'; {lost}' if lost else ''}"
        )
    if effect == "restart":
        return f"its pods are replaced: {shown}"
    if effect == "unknown":
        return f"not checked: the effect of {shown} depends on the operator of {key[1]} ({key[0]})"
    return "in place"


def lost_with(key: ObjectKey, tree: ReadObject) -> str | None:
    """Return the loss that comes with the removal of an object, beyond the object itself."""
    if _deletes_volumes(key, tree):
        return _VOLUMES_DELETED
    return _DESTRUCTIVE.get(key[:2]) or _LOST.get(key[:2])


def is_destructive(key: ObjectKey, tree: ReadObject) -> bool:
    """Whether the removal of an object deletes data, or other objects, with it."""
    return key[:2] in _DESTRUCTIVE or _deletes_volumes(key, tree)


def _deletes_volumes(key: ObjectKey, tree: ReadObject) -> bool:
    policy = object_at(tree, "spec", "persistentVolumeClaimRetentionPolicy")
    return key[:2] == ("apps", "StatefulSet") and policy.get("whenDeleted") == "Delete"


def is_workload(key: ObjectKey) -> bool:
    """Whether an object runs pods."""
    return key[:2] in _WORKLOADS


def references(tree: ReadObject) -> Iterator[tuple[str, str, str]]:
    """Yield kind, name and way ("variable", "file", "file of a subPath") of all configuration that a workload reads."""
    pod = _pod(tree)
    if pod is None:
        return
    containers = [*_mappings(pod, "containers"), *_mappings(pod, "initContainers")]
    by_sub_path = {text_at(m, "name") for c in containers for m in _mappings(c, "volumeMounts") if m.get("subPath")}
    for container in containers:
        for source in _mappings(container, "envFrom"):
            yield from _named(source, {"configMapRef": "ConfigMap", "secretRef": "Secret"}, "variable")
        for variable in _mappings(container, "env"):
            source = variable.get("valueFrom")
            if isinstance(source, Mapping):
                pairs = {"configMapKeyRef": "ConfigMap", "secretKeyRef": "Secret"}
                yield from _named(source, pairs, "variable")
    for volume in _mappings(pod, "volumes"):
        way = "file of a subPath" if text_at(volume, "name") in by_sub_path else "file"
        sources = [volume, *_mappings(object_at(volume, "projected"), "sources")]
        for source in sources:
            yield from _named(source, {"configMap": "ConfigMap", "secret": "Secret"}, way)


def _pod(tree: ReadObject) -> ReadObject | None:
    at = tree.get("spec")
    for step in ("jobTemplate", "spec", "template", "spec"):
        if isinstance(at, Mapping) and step in at:
            at = at[step]
    return at if isinstance(at, Mapping) and "containers" in at else None


def _mappings(tree: ReadObject, key: str) -> list[ReadObject]:
    return [each for each in array_at(tree, key) if isinstance(each, dict)]


def _named(source: ReadObject, kinds: Mapping[str, str], way: str) -> Iterator[tuple[str, str, str]]:
    for field, kind in kinds.items():
        reference = source.get(field)
        if isinstance(reference, Mapping):
            yield kind, str(reference.get("name") or reference.get("secretName") or ""), way
