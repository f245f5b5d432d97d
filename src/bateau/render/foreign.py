"""Take foreign objects in among those that are rendered: the same namespace, and nothing else is touched.

Called by render.release.

Invariant: what a chart or a kustomization says stays as it says it; only a namespace that is absent is filled in, as
`kubectl apply -n` would.
"""

from dataclasses import replace
from typing import Any, Final, cast

from bateau.domain.finding import Finding
from bateau.domain.manifest import Manifest
from bateau.domain.origin import Origin, overlaid
from bateau.domain.release import Service
from bateau.ports.foreign import Expansion
from bateau.ports.target import Rendering

# Kinds of Kubernetes that have no namespace (kubectl api-resources --namespaced=false, 1.37). A kind that neither this
# table nor a built-in group knows is left as it is: its CRD decides, and it is not here.
_CLUSTER_SCOPED: Final = frozenset(
    {
        *("Namespace", "Node", "PersistentVolume", "ClusterRole", "ClusterRoleBinding", "CustomResourceDefinition"),
        *("APIService", "StorageClass", "VolumeAttachment", "CSIDriver", "CSINode", "PriorityClass", "RuntimeClass"),
        *("IngressClass", "ValidatingWebhookConfiguration", "MutatingWebhookConfiguration", "FlowSchema"),
        *("ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding", "PriorityLevelConfiguration", "DeviceClass"),
        *("MutatingAdmissionPolicy", "MutatingAdmissionPolicyBinding", "CertificateSigningRequest", "ResourceSlice"),
        *("ClusterTrustBundle", "IPAddress", "ServiceCIDR", "VolumeAttributesClass", "StorageVersionMigration"),
    }
)
_BUILT_IN: Final = frozenset({"", "apps", "batch", "autoscaling", "policy"})


def taken_in(expansion: Expansion | None, service: Service, namespace: str, environment: str | None) -> Rendering:
    """Return the objects of a service that brings foreign documents, and what could not be done."""
    if expansion is None:
        says = "not rendered: its foreign documents were not read here"
        finding = Finding(
            rule="foreign", subject=service.key, verdict="not checked", says=says, where=service.position,
            environment=environment,
        )  # fmt: skip
        return Rendering(findings=(finding,))
    manifests = tuple(_in_namespace(manifest, namespace) for manifest in expansion.manifests)
    return Rendering(manifests=manifests, findings=expansion.findings)


def _in_namespace(manifest: Manifest, namespace: str) -> Manifest:
    group, kind = manifest.group_kind
    metadata = cast("dict[str, Any]", manifest.tree["metadata"])
    built_in = group in _BUILT_IN or group.endswith(".k8s.io")
    if metadata.get("namespace") or not built_in or kind in _CLUSTER_SCOPED:
        return manifest
    tree = {**manifest.tree, "metadata": {**metadata, "namespace": namespace}}
    origin = Origin("rule", None, namespace, "namespace of the environment")
    return replace(
        manifest, tree=tree, origins=overlaid(manifest.origins, "metadata.namespace", {"metadata.namespace": (origin,)})
    )
