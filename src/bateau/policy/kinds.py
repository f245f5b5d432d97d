"""Which resources of an API server hold objects of a kind.

Called by policy.admission: a ValidatingAdmissionPolicy matches resources ("deployments"), people name kinds.
Source: the API reference of Kubernetes 1.36.

Invariant: a kind that is not here is said to be unknown; its plural is never guessed.
Refused: asking an API server; the answer must not depend on which cluster is near.
"""

from typing import Final

# Kind: (group, version, resource).
RESOURCES: Final = {
    "ClusterRole": ("rbac.authorization.k8s.io", "v1", "clusterroles"),
    "ClusterRoleBinding": ("rbac.authorization.k8s.io", "v1", "clusterrolebindings"),
    "ConfigMap": ("", "v1", "configmaps"),
    "CronJob": ("batch", "v1", "cronjobs"),
    "DaemonSet": ("apps", "v1", "daemonsets"),
    "Deployment": ("apps", "v1", "deployments"),
    "HorizontalPodAutoscaler": ("autoscaling", "v2", "horizontalpodautoscalers"),
    "Ingress": ("networking.k8s.io", "v1", "ingresses"),
    "Job": ("batch", "v1", "jobs"),
    "LimitRange": ("", "v1", "limitranges"),
    "Namespace": ("", "v1", "namespaces"),
    "NetworkPolicy": ("networking.k8s.io", "v1", "networkpolicies"),
    "PersistentVolume": ("", "v1", "persistentvolumes"),
    "PersistentVolumeClaim": ("", "v1", "persistentvolumeclaims"),
    "Pod": ("", "v1", "pods"),
    "PodDisruptionBudget": ("policy", "v1", "poddisruptionbudgets"),
    "ReplicaSet": ("apps", "v1", "replicasets"),
    "ResourceQuota": ("", "v1", "resourcequotas"),
    "Role": ("rbac.authorization.k8s.io", "v1", "roles"),
    "RoleBinding": ("rbac.authorization.k8s.io", "v1", "rolebindings"),
    "Secret": ("", "v1", "secrets"),
    "Service": ("", "v1", "services"),
    "ServiceAccount": ("", "v1", "serviceaccounts"),
    "StatefulSet": ("apps", "v1", "statefulsets"),
    "StorageClass": ("storage.k8s.io", "v1", "storageclasses"),
}
