"""The order in which objects are applied, so that each one finds the objects that it needs.

Used by render and control for rendered output and bundles, and by plan for the steps of a plan. Removals use the
reverse order. It is the order of `kubectl apply -k` and `helm install`, with a reason for each rank.
"""

from collections.abc import Mapping, Sequence
from typing import Final

_RANKS: Final[Sequence[tuple[str, frozenset[str]]]] = (
    ("namespaces come first", frozenset({"Namespace"})),
    ("definitions come before their objects", frozenset({"CustomResourceDefinition"})),
    ("classes come before the objects that name them", frozenset({"StorageClass", "PriorityClass", "RuntimeClass",
     "IngressClass", "GatewayClass", "DeviceClass", "PersistentVolume", "ResourceQuota", "LimitRange"})),
    ("accounts and rights come before their users", frozenset({"ServiceAccount", "Role", "ClusterRole",
     "RoleBinding", "ClusterRoleBinding"})),
    ("configuration comes before its readers", frozenset({"ConfigMap", "Secret", "PersistentVolumeClaim",
     "ResourceClaim", "ResourceClaimTemplate"})),
    ("Services come before their clients", frozenset({"Service", "Endpoints", "EndpointSlice"})),
    ("workloads come after their needs", frozenset({"Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "Job",
     "CronJob", "Pod"})),
    ("other kinds come after workloads", frozenset()),
    ("policies come after the objects that they judge", frozenset({"NetworkPolicy", "PodDisruptionBudget",
     "HorizontalPodAutoscaler", "ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding",
     "ValidatingWebhookConfiguration", "MutatingWebhookConfiguration"})),
)  # fmt: skip
_OTHERS: Final = next(rank for rank, (_, kinds) in enumerate(_RANKS) if not kinds)
_RANK_OF: Final[Mapping[str, int]] = {kind: rank for rank, (_, kinds) in enumerate(_RANKS) for kind in kinds}
_GROUPS: Final = frozenset(("", "apps", "batch", "autoscaling", "policy"))


def rank(group: str, kind: str) -> int:
    """Return the rank of a kind in the order, from 0. Third-party kinds come after workloads, whatever their names.

    >>> rank("", "Namespace"), rank("", "Service") < rank("apps", "Deployment") < rank("serving.knative.dev", "Service")
    (0, True)
    """
    built_in = group in _GROUPS or group.endswith(".k8s.io")
    return _RANK_OF.get(kind, _OTHERS) if built_in else _OTHERS


def rank_reason(group: str, kind: str) -> str:
    """Return the reason for the rank of a kind."""
    return _RANKS[rank(group, kind)][0]
