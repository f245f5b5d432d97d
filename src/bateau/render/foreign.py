"""Take foreign objects in among those that are rendered: the same namespace, and nothing else is touched.

Called by render.release.

Invariant: what a chart or a kustomization says stays as it says it; only a namespace that is absent is filled in, as
`kubectl apply -n` would.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final, cast

from bateau.domain.finding import Finding
from bateau.domain.manifest import Manifest
from bateau.domain.origin import Origin, overlaid
from bateau.domain.unit import Objects
from bateau.domain.workload import Workload
from bateau.ports.foreign import Expansion
from bateau.ports.target import Rendering
from bateau.render.kubernetes.shape import selector_labels

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
_WAYS_TO_PODS: Final = (("spec", "template"), ("spec", "jobTemplate", "spec", "template"), ())
_BUILT_IN: Final = frozenset({"", "apps", "batch", "autoscaling", "policy"})


def taken_in(expansion: Expansion | None, service: Workload, namespace: str, environment: str | None) -> Rendering:
    """Return the objects of a service that brings foreign documents, and what could not be done."""
    if expansion is None:
        says = "not rendered: its foreign documents were not read here"
        finding = Finding(
            rule="foreign", subject=service.key, verdict="not checked", says=says, where=service.position,
            environment=environment,
        )  # fmt: skip
        return Rendering(findings=(finding,))
    manifests = tuple(_in_namespace(manifest, namespace) for manifest in expansion.manifests)
    return Rendering(
        body=Objects(manifests=manifests), findings=(*expansion.findings, *_shut_out(service, manifests, environment))
    )


def _shut_out(service: Workload, manifests: Sequence[Manifest], environment: str | None) -> Iterator[Finding]:
    """Say where no pod has the labels by which the services that it `uses` know who may call them."""
    labels = selector_labels(service.key)
    pods = [_labels_of_pods(manifest.tree) for manifest in manifests]
    uses = service.uses
    if not uses or not manifests or any(labels.items() <= each.items() for each in pods):
        return
    told = ", ".join(f"{key}: {value}" for key, value in labels.items())
    says = f"{', '.join(uses)} lets in pods with the labels {told}; no pod of {service.key} has them"
    where = service.positions.get("spec.uses", service.position)
    yield Finding(
        rule="render", subject=service.key, verdict="warning", says=says, where=where, environment=environment
    )


def _labels_of_pods(tree: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the labels of the pods that an object makes; none where it makes none."""
    for way in _WAYS_TO_PODS:
        at: Any = tree
        for step in (*way, "metadata", "labels"):
            at = cast("Mapping[str, Any]", at).get(step) if isinstance(at, Mapping) else None
        if isinstance(at, Mapping) and (way or tree["kind"] == "Pod"):
            return cast("Mapping[str, Any]", at)
    return {}


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
