"""Name the tool that has installed Bateau on a cluster without `bateau install`, and how to use it.

Called by wiring.installing. Pure. Sources: the labels and annotations of Helm 3, Argo CD 3 and Flux 2, and the field
managers of KEP-555.
"""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from bateau.kit.json_value import JsonObject, array_at, object_at, text_at
from bateau.render.installation.objects import Installation

_KUBECTL: Final = "kubectl"
_OWN: Final = "bateau"


@dataclass(frozen=True, kw_only=True)
class OtherTool:
    """A tool, the namespace of its installation, and the commands that upgrade and remove it, as hints."""

    name: str
    namespace: str
    upgrade: str
    removal: str

    @property
    def says(self) -> str:
        """One sentence about the installation."""
        return f"Bateau is installed in namespace {self.namespace} by {self.name}, and not by `bateau install`"


def other_tool(controller: JsonObject, settings: Installation) -> OtherTool | None:
    """Return the tool that has created the controller's Deployment; None if it was `bateau install`.

    `settings` are those of the installation, with the image of this version.
    """
    namespace = settings.namespace
    labels, notes = (object_at(controller, "metadata", each) for each in ("labels", "annotations"))
    printed = shlex.join(["bateau", "install", "--print", *_options(settings)])
    commit = f"commit the output of `{printed}` to the repository that {{}} reads"
    remove = "remove it from the repository that {} reads"
    if name := text_at(labels, "helm.toolkit.fluxcd.io/name"):
        flux = f"Flux (HelmRelease {text_at(labels, 'helm.toolkit.fluxcd.io/namespace')}/{name})"
        upgrade = f"publish the chart that `bateau install --helm DIRECTORY` writes where {flux} reads it"
        return OtherTool(name=flux, namespace=namespace, upgrade=upgrade, removal=remove.format(flux))
    if release := text_at(notes, "meta.helm.sh/release-name"):
        at = f"--namespace {text_at(notes, 'meta.helm.sh/release-namespace')}"
        return OtherTool(
            name=f"Helm (release {release})",
            namespace=namespace,
            upgrade=f"bateau install --helm chart && helm upgrade {release} ./chart {at} --reset-then-reuse-values",
            removal=f"helm uninstall {release} {at}",
        )
    if name := text_at(labels, "kustomize.toolkit.fluxcd.io/name"):
        tool = f"Flux (Kustomization {text_at(labels, 'kustomize.toolkit.fluxcd.io/namespace')}/{name})"
    elif tracked := text_at(notes, "argocd.argoproj.io/tracking-id"):
        tool = f"Argo CD (application {tracked.partition(':')[0]})"
    else:
        manager = _manager(controller)
        if manager == _OWN:
            return None
        if manager.startswith(_KUBECTL):
            return OtherTool(
                name=_KUBECTL,
                namespace=namespace,
                upgrade=f"{printed} | kubectl apply --server-side --filename=-",
                removal="delete its objects with kubectl, except the definitions: all documents go with them",
            )
        tool = manager or "another tool"
    return OtherTool(name=tool, namespace=namespace, upgrade=commit.format(tool), removal=remove.format(tool))


def _options(settings: Installation) -> Sequence[str]:
    """Return the options that differ from the defaults."""
    default = Installation()
    pairs = (
        ("--namespace", settings.namespace, default.namespace),
        ("--image", settings.image, default.image),
        ("--replicas", settings.replicas, default.replicas),
        ("--gateway-replicas", settings.gateway_replicas, default.gateway_replicas),
        ("--logs", settings.logs, default.logs),
    )
    return [word for option, value, usual in pairs if value != usual for word in (option, str(value))]


def _manager(tree: JsonObject) -> str:
    """Return the manager of the pod template; "" if nobody is noted."""
    for each in array_at(tree, "metadata", "managedFields"):
        if "f:template" in object_at({"": each}, "", "fieldsV1", "f:spec"):
            return text_at(each, "manager")
    return ""
