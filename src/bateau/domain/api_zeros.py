"""The optional fields of Kubernetes' own types that an API server keeps although they are written as zero.

Read by render.served_form. Every other optional field is left out where its value is false, 0, "", [] or an empty map,
because its Go type cannot tell a zero from a field that is absent.

Source: the types in k8s.io/api and k8s.io/apimachinery (Kubernetes 1.37): these are pointers, or have no `omitempty`.

Invariant: the object that a real API server returns has the same fields. Held by
tests/render/test_served_form_at_server.py.
Refused: asking the schemas. OpenAPI does not tell a pointer from a value.
"""

from collections.abc import Mapping
from typing import Final

# By the name of the type, without the prefix that all share.
KEPT_ZEROS: Final[Mapping[str, str]] = {
    "admissionregistration.v1.MatchResources": "matchPolicy",
    "admissionregistration.v1.MutatingAdmissionPolicySpec": "failurePolicy",
    "admissionregistration.v1.MutatingWebhook": "failurePolicy matchPolicy reinvocationPolicy timeoutSeconds",
    "admissionregistration.v1.NamedRuleWithOperations": "scope",
    "admissionregistration.v1.ParamRef": "parameterNotFoundAction",
    "admissionregistration.v1.RuleWithOperations": "scope",
    "admissionregistration.v1.ServiceReference": "path port",
    "admissionregistration.v1.ValidatingAdmissionPolicySpec": "failurePolicy",
    "admissionregistration.v1.ValidatingWebhook": "failurePolicy matchPolicy timeoutSeconds",
    "admissionregistration.v1.Validation": "reason",
    "admissionregistration.v1.WebhookClientConfig": "url",
    "admissionregistration.v1alpha1.MatchResources": "matchPolicy",
    "admissionregistration.v1alpha1.MutatingAdmissionPolicySpec": "failurePolicy",
    "admissionregistration.v1alpha1.ParamRef": "parameterNotFoundAction",
    "admissionregistration.v1beta1.MatchResources": "matchPolicy",
    "admissionregistration.v1beta1.MutatingAdmissionPolicySpec": "failurePolicy",
    "admissionregistration.v1beta1.ParamRef": "parameterNotFoundAction",
    "apps.v1.ControllerRevision": "revision",
    "apps.v1.DaemonSetSpec": "revisionHistoryLimit",
    "apps.v1.DeploymentSpec": "progressDeadlineSeconds replicas revisionHistoryLimit",
    "apps.v1.ReplicaSetSpec": "replicas",
    "apps.v1.RollingUpdateStatefulSetStrategy": "partition",
    "apps.v1.StatefulSetOrdinals": "start",
    "apps.v1.StatefulSetSpec": "replicas revisionHistoryLimit serviceName",
    "authentication.v1.TokenRequestSpec": "audiences expirationSeconds",
    "autoscaling.v1.HorizontalPodAutoscalerSpec": "minReplicas targetCPUUtilizationPercentage",
    "autoscaling.v2.HPAScalingRules": "selectPolicy stabilizationWindowSeconds",
    "autoscaling.v2.HorizontalPodAutoscalerSpec": "minReplicas",
    "autoscaling.v2.MetricTarget": "averageUtilization",
    "batch.v1.CronJobSpec": (
        "failedJobsHistoryLimit startingDeadlineSeconds successfulJobsHistoryLimit suspend timeZone"
    ),
    "batch.v1.JobSpec": (
        "activeDeadlineSeconds backoffLimit backoffLimitPerIndex completionMode completions managedBy "
        "manualSelector maxFailedIndexes parallelism podReplacementPolicy suspend ttlSecondsAfterFinished"
    ),
    "batch.v1.PodFailurePolicyOnExitCodesRequirement": "containerName",
    "batch.v1.PodFailurePolicyOnPodConditionsPattern": "status",
    "batch.v1.SuccessPolicyRule": "succeededCount succeededIndexes",
    "certificates.v1.CertificateSigningRequestSpec": "expirationSeconds",
    "certificates.v1.PodCertificateRequestSpec": "maxExpirationSeconds",
    "certificates.v1beta1.PodCertificateRequestSpec": "maxExpirationSeconds pkixPublicKey proofOfPossession",
    "coordination.v1.LeaseSpec": "holderIdentity leaseDurationSeconds leaseTransitions preferredHolder strategy",
    "core.v1.AppArmorProfile": "localhostProfile",
    "core.v1.AzureDiskVolumeSource": "cachingMode fsType kind readOnly",
    "core.v1.AzureFilePersistentVolumeSource": "secretNamespace",
    "core.v1.CSIVolumeSource": "fsType readOnly",
    "core.v1.ClientIPConfig": "timeoutSeconds",
    "core.v1.ClusterTrustBundleProjection": "name optional signerName user",
    "core.v1.ConfigMap": "immutable",
    "core.v1.ConfigMapEnvSource": "optional",
    "core.v1.ConfigMapKeySelector": "optional",
    "core.v1.ConfigMapProjection": "optional",
    "core.v1.ConfigMapVolumeSource": "defaultMode defaultUser optional",
    "core.v1.Container": "restartPolicy",
    "core.v1.DownwardAPIVolumeFile": "mode user",
    "core.v1.DownwardAPIVolumeSource": "defaultMode defaultUser",
    "core.v1.EmptyDirVolumeSource": "mode",
    "core.v1.EndpointAddress": "nodeName",
    "core.v1.EndpointPort": "appProtocol",
    "core.v1.EphemeralContainer": "restartPolicy",
    "core.v1.Event": "reportingComponent reportingInstance",
    "core.v1.FCVolumeSource": "lun",
    "core.v1.FileKeySelector": "optional",
    "core.v1.GRPCAction": "mode service",
    "core.v1.GlusterfsPersistentVolumeSource": "endpointsNamespace",
    "core.v1.HTTPGetAction": "protocol",
    "core.v1.HostPathVolumeSource": "type",
    "core.v1.ISCSIPersistentVolumeSource": "initiatorName",
    "core.v1.ISCSIVolumeSource": "initiatorName",
    "core.v1.KeyToPath": "mode user",
    "core.v1.Lifecycle": "stopSignal",
    "core.v1.LocalVolumeSource": "fsType",
    "core.v1.PersistentVolumeClaimSpec": "storageClassName volumeAttributesClassName volumeMode",
    "core.v1.PersistentVolumeSpec": "volumeAttributesClassName volumeMode",
    "core.v1.PodCertificateProjection": "maxExpirationSeconds user",
    "core.v1.PodDNSConfigOption": "value",
    "core.v1.PodResourceClaim": "resourceClaimName resourceClaimTemplateName",
    "core.v1.PodSchedulingGroup": "podGroupName",
    "core.v1.PodSecurityContext": (
        "fsGroup fsGroupChangePolicy runAsGroup runAsNonRoot runAsUser seLinuxChangePolicy supplementalGroupsPolicy"
    ),
    "core.v1.PodSpec": (
        "activeDeadlineSeconds automountServiceAccountToken enableServiceLinks hostUsers hostnameOverride "
        "preemptionPolicy priority runtimeClassName setHostnameAsFQDN shareProcessNamespace "
        "terminationGracePeriodSeconds"
    ),
    "core.v1.Probe": "terminationGracePeriodSeconds",
    "core.v1.ProjectedVolumeSource": "defaultMode defaultUser sources",
    "core.v1.ReplicationControllerSpec": "replicas",
    "core.v1.SeccompProfile": "localhostProfile",
    "core.v1.Secret": "immutable",
    "core.v1.SecretEnvSource": "optional",
    "core.v1.SecretKeySelector": "optional",
    "core.v1.SecretProjection": "optional",
    "core.v1.SecretVolumeSource": "defaultMode defaultUser optional",
    "core.v1.SecurityContext": (
        "allowPrivilegeEscalation privileged procMount readOnlyRootFilesystem runAsGroup runAsNonRoot runAsUser"
    ),
    "core.v1.ServiceAccount": "automountServiceAccountToken",
    "core.v1.ServiceAccountTokenProjection": "expirationSeconds user",
    "core.v1.ServicePort": "appProtocol",
    "core.v1.ServiceSpec": (
        "allocateLoadBalancerNodePorts internalTrafficPolicy ipFamilyPolicy loadBalancerClass trafficDistribution"
    ),
    "core.v1.Toleration": "tolerationSeconds",
    "core.v1.TopologySpreadConstraint": "minDomains nodeAffinityPolicy nodeTaintsPolicy",
    "core.v1.TypedLocalObjectReference": "apiGroup",
    "core.v1.TypedObjectReference": "apiGroup namespace",
    "core.v1.VolumeMount": "mountPropagation recursiveReadOnly",
    "core.v1.WindowsSecurityContextOptions": "gmsaCredentialSpec gmsaCredentialSpecName hostProcess runAsUserName",
    "discovery.v1.Endpoint": "hostname nodeName zone",
    "discovery.v1.EndpointConditions": "ready serving terminating",
    "discovery.v1.EndpointPort": "appProtocol name port protocol",
    "discovery.v1.EndpointSlice": "endpoints ports",
    "flowcontrol.v1.ExemptPriorityLevelConfiguration": "lendablePercent nominalConcurrencyShares",
    "flowcontrol.v1.FlowSchemaSpec": "matchingPrecedence",
    "flowcontrol.v1.LimitedPriorityLevelConfiguration": (
        "borrowingLimitPercent lendablePercent nominalConcurrencyShares"
    ),
    "flowcontrol.v1.QueuingConfiguration": "handSize queueLengthLimit queues",
    "flowcontrol.v1.ResourcePolicyRule": "namespaces",
    "meta.v1.DeleteOptions": (
        "gracePeriodSeconds ignoreStoreReadErrorWithClusterBreakingPotential orphanDependents propagationPolicy"
    ),
    "meta.v1.ObjectMeta": "deletionGracePeriodSeconds",
    "meta.v1.OwnerReference": "blockOwnerDeletion controller",
    "meta.v1.Preconditions": "resourceVersion uid",
    "networking.v1.IngressClassParametersReference": "apiGroup namespace scope",
    "networking.v1.IngressSpec": "ingressClassName",
    "networking.v1.NetworkPolicyPort": "endPort protocol",
    "policy.v1.PodDisruptionBudgetSpec": "unhealthyPodEvictionPolicy",
    "rbac.v1.ClusterRole": "rules",
    "rbac.v1.Role": "rules",
    "rbac.v1.RoleRef": "apiGroup",
    "resource.v1.Device": "allNodes allowMultipleAllocations bindsToNode nodeName",
    "resource.v1.DeviceAttribute": "bool int string version",
    "resource.v1.DeviceClaim": "requests",
    "resource.v1.DeviceClassSpec": "extendedResourceName",
    "resource.v1.DeviceConstraint": "distinctAttribute matchAttribute",
    "resource.v1.DeviceTaintSelector": "device driver pool",
    "resource.v1.DeviceToleration": "tolerationSeconds",
    "resource.v1.ExactDeviceRequest": "adminAccess",
    "resource.v1.NodeAllocatableMapping": "capacityKey",
    "resource.v1.ResourceSliceSpec": "allNodes nodeName partitionTypeAttribute perDeviceNodeSelection",
    "resource.v1alpha3.DeviceTaintSelector": "device driver pool",
    "resource.v1alpha3.ResourcePoolStatusRequestSpec": "defaultPartitionTypeAttribute limit poolName",
    "resource.v1beta1.BasicDevice": "allNodes allowMultipleAllocations bindsToNode nodeName",
    "resource.v1beta1.DeviceAttribute": "bool int string version",
    "resource.v1beta1.DeviceClaim": "requests",
    "resource.v1beta1.DeviceClassSpec": "extendedResourceName",
    "resource.v1beta1.DeviceConstraint": "distinctAttribute matchAttribute",
    "resource.v1beta1.DeviceRequest": "adminAccess deviceClassName",
    "resource.v1beta1.DeviceToleration": "tolerationSeconds",
    "resource.v1beta1.NodeAllocatableMapping": "capacityKey",
    "resource.v1beta1.ResourceSliceSpec": "partitionTypeAttribute perDeviceNodeSelection",
    "resource.v1beta2.Device": "allNodes allowMultipleAllocations bindsToNode nodeName",
    "resource.v1beta2.DeviceAttribute": "bool int string version",
    "resource.v1beta2.DeviceClaim": "requests",
    "resource.v1beta2.DeviceClassSpec": "extendedResourceName",
    "resource.v1beta2.DeviceConstraint": "distinctAttribute matchAttribute",
    "resource.v1beta2.DeviceTaintSelector": "device driver pool",
    "resource.v1beta2.DeviceToleration": "tolerationSeconds",
    "resource.v1beta2.ExactDeviceRequest": "adminAccess",
    "resource.v1beta2.NodeAllocatableMapping": "capacityKey",
    "resource.v1beta2.ResourceSliceSpec": "allNodes nodeName partitionTypeAttribute perDeviceNodeSelection",
    "scheduling.v1.PriorityClass": "preemptionPolicy value",
    "scheduling.v1alpha3.CompositePodGroupSpec": "parentCompositePodGroupName preemptionPolicy priority",
    "scheduling.v1alpha3.CompositePodGroupTemplate": "preemptionPolicy priority",
    "scheduling.v1alpha3.PodGroupResourceClaim": "resourceClaimName resourceClaimTemplateName",
    "scheduling.v1alpha3.PodGroupSpec": "parentCompositePodGroupName preemptionPolicy priority",
    "scheduling.v1alpha3.PodGroupTemplate": "preemptionPolicy priority",
    "scheduling.v1alpha3.WorkloadPodGroupGangSchedulingPolicy": "minCount",
    "scheduling.v1alpha3.WorkloadPodGroupResourceClaim": "resourceClaimName resourceClaimTemplateName",
    "scheduling.v1alpha3.WorkloadSpec": "podGroupTemplates",
    "scheduling.v1beta1.CompositePodGroupTemplate": "preemptionPolicy priority",
    "scheduling.v1beta1.PodGroupResourceClaim": "resourceClaimName resourceClaimTemplateName",
    "scheduling.v1beta1.PodGroupSpec": "parentCompositePodGroupName preemptionPolicy priority",
    "scheduling.v1beta1.PodGroupTemplate": "preemptionPolicy priority",
    "scheduling.v1beta1.WorkloadSpec": "podGroupTemplates",
    "storage.v1.CSIDriverSpec": (
        "attachRequired fsGroupPolicy nodeAllocatableUpdatePeriodSeconds podInfoOnMount "
        "preventPodSchedulingIfMissing requiresRepublish seLinuxMount serviceAccountTokenInSecrets "
        "storageCapacity"
    ),
    "storage.v1.CSINodeDriver": "topologyKeys",
    "storage.v1.StorageClass": "allowVolumeExpansion reclaimPolicy volumeBindingMode",
    "storage.v1.TokenRequest": "expirationSeconds",
    "storage.v1.VolumeAttachmentSource": "persistentVolumeName",
    "storage.v1.VolumeNodeResources": "count",
}
# Types whose Go form is not known here.
UNKNOWN: Final = frozenset(
    (
        "admissionregistration.v1alpha1.NamedRuleWithOperations",
        "admissionregistration.v1beta1.NamedRuleWithOperations",
    )
)
