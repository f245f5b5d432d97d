"""Include foreign objects in a release: they get the namespace of their App, and nothing else is changed.

Called by render.release.

Invariant: a namespace is set only where the object has none and its kind is known to be namespaced, as `kubectl apply
-n` would do. Where the scope is not known, render.validation reports it. Held by tests/wiring/test_crds.py.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Final

from bateau.domain.api_resources import Scope
from bateau.domain.finding import Finding
from bateau.domain.manifest import Manifest, numbered
from bateau.domain.origin import Origin, overlaid, place
from bateau.domain.unit import Objects
from bateau.domain.workload import Workload
from bateau.kit.json_value import ReadObject, object_at
from bateau.ports.foreign import Expansion
from bateau.ports.target import Rendering, Surroundings
from bateau.render.kubernetes.shape import selector_labels

Scopes = Callable[[str, str], Scope | None]

_WAYS_TO_PODS: Final = (("spec", "template"), ("spec", "jobTemplate", "spec", "template"), ())


def included(expansion: Expansion | None, service: Workload, around: Surroundings, scopes: Scopes) -> Rendering:
    """Return the objects of a service that brings foreign documents, and a finding for everything that was not done.

    `scopes` returns the scope of a group and kind, None where it is not known.
    """
    if expansion is None:
        says = "not rendered: its foreign documents were not read here"
        finding = Finding(
            rule="foreign", subject=service.key, verdict="not checked", says=says, where=service.position,
            environment=around.environment,
        )  # fmt: skip
        return Rendering(findings=(finding,))
    origins = service.origins.get("metadata.namespace") if service.namespace else None
    chain = origins or (Origin("rule", None, around.namespace, "default namespace"),)
    manifests = tuple(numbered(_in_namespace(each, around.namespace, chain, scopes) for each in expansion.manifests))
    findings = (
        *expansion.findings,
        *_generated(service, manifests),
        *_shut_out(service, manifests, around),
    )
    return Rendering(body=Objects(manifests=manifests), findings=findings)


def _generated(service: Workload, manifests: Sequence[Manifest]) -> Iterator[Finding]:
    """Report each object that Kubernetes names itself: it is another object each time."""
    for manifest in manifests:
        if manifest.is_generated:
            says = (
                f"{manifest.group_kind[1]} {manifest.name} has no name (metadata.generateName): `bateau apply` creates "
                "it once for each content; `kubectl apply` rejects it, and `kubectl create` creates it again each time"
            )
            path = "metadata.generateName"
            where = place(manifest.origins, path)
            yield Finding(rule="foreign", subject=service.key, verdict="warning", says=says, where=where, path=path)


def _shut_out(service: Workload, manifests: Sequence[Manifest], around: Surroundings) -> Iterator[Finding]:
    """Report if no pod has the namespace and labels by which the services that it `uses` know who may call them."""
    labels = selector_labels(service.key)
    pods = [
        _labels_of_pods(manifest.tree)
        for manifest in manifests
        if object_at(manifest.tree, "metadata").get("namespace", around.namespace) == around.namespace
    ]
    uses = service.uses
    if not uses or not manifests or any(labels.items() <= each.items() for each in pods):
        return
    told = ", ".join(f"{key}: {value}" for key, value in labels.items())
    says = f"{', '.join(uses)} lets in pods of namespace {around.namespace} with the labels {told}; "
    says += f"{service.key} has no such pod"
    where = service.positions.get("spec.uses", service.position)
    yield Finding(
        rule="render", subject=service.key, verdict="warning", says=says, where=where, environment=around.environment
    )


def _labels_of_pods(tree: ReadObject) -> ReadObject:
    """Return the labels of the pods that an object makes; none where it makes none."""
    for way in _WAYS_TO_PODS:
        labels = object_at(tree, *way, "metadata", "labels")
        if labels and (way or tree["kind"] == "Pod"):
            return labels
    return {}


def _in_namespace(manifest: Manifest, namespace: str, chain: tuple[Origin, ...], scopes: Scopes) -> Manifest:
    metadata = object_at(manifest.tree, "metadata")
    if metadata.get("namespace") or scopes(*manifest.group_kind) != "Namespaced":
        return manifest
    tree = {**manifest.tree, "metadata": {**metadata, "namespace": namespace}}
    origins = overlaid(manifest.origins, "metadata.namespace", {"metadata.namespace": chain})
    return replace(manifest, tree=tree, origins=origins)
