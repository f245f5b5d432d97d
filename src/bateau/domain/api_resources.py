"""The resources that Kubernetes itself serves: the plural, the preferred version and the scope of every kind.

Read by render, which sets namespaces, by policy.admission, whose rules match resources and not kinds, and wherever the
name of a kind is checked.

Source: the paths in the OpenAPI documents of Kubernetes 1.36 and 1.37, as its Python client has them. A kind is
Namespaced if the path that creates it has `/namespaces/{namespace}/`.

Invariant: every kind of the shipped schemas that can be an object of its own is here (tests/domain compares them). Held
by tests/wiring/test_crds.py::test_the_scope_of_every_shipped_kind_is_known.
Refused: asking an API server. The answer must not depend on which cluster is near.
"""

from dataclasses import dataclass
from typing import Final, Literal

Scope = Literal["Cluster", "Namespaced"]


@dataclass(frozen=True, slots=True)
class ApiResource:
    """One resource. `version` is the one that Kubernetes 1.37 prefers, `plural` its name in paths."""

    group: str
    version: str
    plural: str
    scope: Scope


# By group and kind; the core group is "".
API_RESOURCES: Final[dict[tuple[str, str], ApiResource]] = {
    ("", "Binding"): ApiResource("", "v1", "bindings", "Namespaced"),
    ("", "ComponentStatus"): ApiResource("", "v1", "componentstatuses", "Cluster"),
    ("", "ConfigMap"): ApiResource("", "v1", "configmaps", "Namespaced"),
    ("", "Endpoints"): ApiResource("", "v1", "endpoints", "Namespaced"),
    ("", "Event"): ApiResource("", "v1", "events", "Namespaced"),
    ("", "LimitRange"): ApiResource("", "v1", "limitranges", "Namespaced"),
    ("", "Namespace"): ApiResource("", "v1", "namespaces", "Cluster"),
    ("", "Node"): ApiResource("", "v1", "nodes", "Cluster"),
    ("", "PersistentVolume"): ApiResource("", "v1", "persistentvolumes", "Cluster"),
    ("", "PersistentVolumeClaim"): ApiResource("", "v1", "persistentvolumeclaims", "Namespaced"),
    ("", "Pod"): ApiResource("", "v1", "pods", "Namespaced"),
    ("", "PodTemplate"): ApiResource("", "v1", "podtemplates", "Namespaced"),
    ("", "ReplicationController"): ApiResource("", "v1", "replicationcontrollers", "Namespaced"),
    ("", "ResourceQuota"): ApiResource("", "v1", "resourcequotas", "Namespaced"),
    ("", "Secret"): ApiResource("", "v1", "secrets", "Namespaced"),
    ("", "Service"): ApiResource("", "v1", "services", "Namespaced"),
    ("", "ServiceAccount"): ApiResource("", "v1", "serviceaccounts", "Namespaced"),
    ("admissionregistration.k8s.io", "MutatingAdmissionPolicy"): ApiResource(
        "admissionregistration.k8s.io", "v1", "mutatingadmissionpolicies", "Cluster"
    ),
    ("admissionregistration.k8s.io", "MutatingAdmissionPolicyBinding"): ApiResource(
        "admissionregistration.k8s.io", "v1", "mutatingadmissionpolicybindings", "Cluster"
    ),
    ("admissionregistration.k8s.io", "MutatingWebhookConfiguration"): ApiResource(
        "admissionregistration.k8s.io", "v1", "mutatingwebhookconfigurations", "Cluster"
    ),
    ("admissionregistration.k8s.io", "ValidatingAdmissionPolicy"): ApiResource(
        "admissionregistration.k8s.io", "v1", "validatingadmissionpolicies", "Cluster"
    ),
    ("admissionregistration.k8s.io", "ValidatingAdmissionPolicyBinding"): ApiResource(
        "admissionregistration.k8s.io", "v1", "validatingadmissionpolicybindings", "Cluster"
    ),
    ("admissionregistration.k8s.io", "ValidatingWebhookConfiguration"): ApiResource(
        "admissionregistration.k8s.io", "v1", "validatingwebhookconfigurations", "Cluster"
    ),
    ("apiextensions.k8s.io", "CustomResourceDefinition"): ApiResource(
        "apiextensions.k8s.io", "v1", "customresourcedefinitions", "Cluster"
    ),
    ("apiregistration.k8s.io", "APIService"): ApiResource("apiregistration.k8s.io", "v1", "apiservices", "Cluster"),
    ("apps", "ControllerRevision"): ApiResource("apps", "v1", "controllerrevisions", "Namespaced"),
    ("apps", "DaemonSet"): ApiResource("apps", "v1", "daemonsets", "Namespaced"),
    ("apps", "Deployment"): ApiResource("apps", "v1", "deployments", "Namespaced"),
    ("apps", "ReplicaSet"): ApiResource("apps", "v1", "replicasets", "Namespaced"),
    ("apps", "StatefulSet"): ApiResource("apps", "v1", "statefulsets", "Namespaced"),
    ("authentication.k8s.io", "SelfSubjectReview"): ApiResource(
        "authentication.k8s.io", "v1", "selfsubjectreviews", "Cluster"
    ),
    ("authentication.k8s.io", "TokenReview"): ApiResource("authentication.k8s.io", "v1", "tokenreviews", "Cluster"),
    ("authorization.k8s.io", "LocalSubjectAccessReview"): ApiResource(
        "authorization.k8s.io", "v1", "localsubjectaccessreviews", "Namespaced"
    ),
    ("authorization.k8s.io", "SelfSubjectAccessReview"): ApiResource(
        "authorization.k8s.io", "v1", "selfsubjectaccessreviews", "Cluster"
    ),
    ("authorization.k8s.io", "SelfSubjectRulesReview"): ApiResource(
        "authorization.k8s.io", "v1", "selfsubjectrulesreviews", "Cluster"
    ),
    ("authorization.k8s.io", "SubjectAccessReview"): ApiResource(
        "authorization.k8s.io", "v1", "subjectaccessreviews", "Cluster"
    ),
    ("autoscaling", "HorizontalPodAutoscaler"): ApiResource(
        "autoscaling", "v2", "horizontalpodautoscalers", "Namespaced"
    ),
    ("batch", "CronJob"): ApiResource("batch", "v1", "cronjobs", "Namespaced"),
    ("batch", "Job"): ApiResource("batch", "v1", "jobs", "Namespaced"),
    ("certificates.k8s.io", "CertificateSigningRequest"): ApiResource(
        "certificates.k8s.io", "v1", "certificatesigningrequests", "Cluster"
    ),
    ("certificates.k8s.io", "ClusterTrustBundle"): ApiResource(
        "certificates.k8s.io", "v1", "clustertrustbundles", "Cluster"
    ),
    ("certificates.k8s.io", "PodCertificateRequest"): ApiResource(
        "certificates.k8s.io", "v1", "podcertificaterequests", "Namespaced"
    ),
    ("coordination.k8s.io", "Lease"): ApiResource("coordination.k8s.io", "v1", "leases", "Namespaced"),
    ("coordination.k8s.io", "LeaseCandidate"): ApiResource(
        "coordination.k8s.io", "v1beta1", "leasecandidates", "Namespaced"
    ),
    ("discovery.k8s.io", "EndpointSlice"): ApiResource("discovery.k8s.io", "v1", "endpointslices", "Namespaced"),
    ("events.k8s.io", "Event"): ApiResource("events.k8s.io", "v1", "events", "Namespaced"),
    ("flowcontrol.apiserver.k8s.io", "FlowSchema"): ApiResource(
        "flowcontrol.apiserver.k8s.io", "v1", "flowschemas", "Cluster"
    ),
    ("flowcontrol.apiserver.k8s.io", "PriorityLevelConfiguration"): ApiResource(
        "flowcontrol.apiserver.k8s.io", "v1", "prioritylevelconfigurations", "Cluster"
    ),
    ("internal.apiserver.k8s.io", "StorageVersion"): ApiResource(
        "internal.apiserver.k8s.io", "v1alpha1", "storageversions", "Cluster"
    ),
    ("lifecycle.k8s.io", "Eviction"): ApiResource("lifecycle.k8s.io", "v1alpha1", "evictions", "Namespaced"),
    ("lifecycle.k8s.io", "EvictionRequest"): ApiResource(
        "lifecycle.k8s.io", "v1alpha1", "evictionrequests", "Namespaced"
    ),
    ("networking.k8s.io", "IPAddress"): ApiResource("networking.k8s.io", "v1", "ipaddresses", "Cluster"),
    ("networking.k8s.io", "Ingress"): ApiResource("networking.k8s.io", "v1", "ingresses", "Namespaced"),
    ("networking.k8s.io", "IngressClass"): ApiResource("networking.k8s.io", "v1", "ingressclasses", "Cluster"),
    ("networking.k8s.io", "NetworkPolicy"): ApiResource("networking.k8s.io", "v1", "networkpolicies", "Namespaced"),
    ("networking.k8s.io", "ServiceCIDR"): ApiResource("networking.k8s.io", "v1", "servicecidrs", "Cluster"),
    ("node.k8s.io", "RuntimeClass"): ApiResource("node.k8s.io", "v1", "runtimeclasses", "Cluster"),
    ("policy", "PodDisruptionBudget"): ApiResource("policy", "v1", "poddisruptionbudgets", "Namespaced"),
    ("rbac.authorization.k8s.io", "ClusterRole"): ApiResource(
        "rbac.authorization.k8s.io", "v1", "clusterroles", "Cluster"
    ),
    ("rbac.authorization.k8s.io", "ClusterRoleBinding"): ApiResource(
        "rbac.authorization.k8s.io", "v1", "clusterrolebindings", "Cluster"
    ),
    ("rbac.authorization.k8s.io", "Role"): ApiResource("rbac.authorization.k8s.io", "v1", "roles", "Namespaced"),
    ("rbac.authorization.k8s.io", "RoleBinding"): ApiResource(
        "rbac.authorization.k8s.io", "v1", "rolebindings", "Namespaced"
    ),
    ("resource.k8s.io", "DeviceClass"): ApiResource("resource.k8s.io", "v1", "deviceclasses", "Cluster"),
    ("resource.k8s.io", "DeviceTaintRule"): ApiResource("resource.k8s.io", "v1", "devicetaintrules", "Cluster"),
    ("resource.k8s.io", "ResourceClaim"): ApiResource("resource.k8s.io", "v1", "resourceclaims", "Namespaced"),
    ("resource.k8s.io", "ResourceClaimTemplate"): ApiResource(
        "resource.k8s.io", "v1", "resourceclaimtemplates", "Namespaced"
    ),
    ("resource.k8s.io", "ResourcePoolStatusRequest"): ApiResource(
        "resource.k8s.io", "v1alpha3", "resourcepoolstatusrequests", "Cluster"
    ),
    ("resource.k8s.io", "ResourceSlice"): ApiResource("resource.k8s.io", "v1", "resourceslices", "Cluster"),
    ("scheduling.k8s.io", "CompositePodGroup"): ApiResource(
        "scheduling.k8s.io", "v1alpha3", "compositepodgroups", "Namespaced"
    ),
    ("scheduling.k8s.io", "PodGroup"): ApiResource("scheduling.k8s.io", "v1beta1", "podgroups", "Namespaced"),
    ("scheduling.k8s.io", "PriorityClass"): ApiResource("scheduling.k8s.io", "v1", "priorityclasses", "Cluster"),
    ("scheduling.k8s.io", "Workload"): ApiResource("scheduling.k8s.io", "v1beta1", "workloads", "Namespaced"),
    ("storage.k8s.io", "CSIDriver"): ApiResource("storage.k8s.io", "v1", "csidrivers", "Cluster"),
    ("storage.k8s.io", "CSINode"): ApiResource("storage.k8s.io", "v1", "csinodes", "Cluster"),
    ("storage.k8s.io", "CSIStorageCapacity"): ApiResource("storage.k8s.io", "v1", "csistoragecapacities", "Namespaced"),
    ("storage.k8s.io", "StorageClass"): ApiResource("storage.k8s.io", "v1", "storageclasses", "Cluster"),
    ("storage.k8s.io", "VolumeAttachment"): ApiResource("storage.k8s.io", "v1", "volumeattachments", "Cluster"),
    ("storage.k8s.io", "VolumeAttributesClass"): ApiResource(
        "storage.k8s.io", "v1", "volumeattributesclasses", "Cluster"
    ),
    ("storagemigration.k8s.io", "StorageVersionMigration"): ApiResource(
        "storagemigration.k8s.io", "v1", "storageversionmigrations", "Cluster"
    ),
}


def resources_of(kind: str) -> tuple[ApiResource, ...]:
    """Return the resources that hold objects of a kind: several where groups share the kind, as with Event.

    >>> [each.group for each in resources_of("Event")]
    ['', 'events.k8s.io']
    """
    return tuple(resource for (_, each), resource in API_RESOURCES.items() if each == kind)
