"""Which tool has installed Bateau on a cluster, and the command that upgrades it."""

from collections.abc import Mapping

import pytest

from bateau.control.other_tool import other_tool
from bateau.kit.json_value import Json, JsonObject
from bateau.render.installation.objects import Installation

SETTINGS = Installation(namespace="tools", image="registry.example/bateau:9.9.9", replicas=2)
PRINTED = "bateau install --print --namespace tools --image registry.example/bateau:9.9.9 --replicas 2"


def deployment(
    manager: str = "", labels: JsonObject | None = None, notes: Mapping[str, str] | None = None
) -> JsonObject:
    template: JsonObject = {"f:spec": {"f:template": {}}}
    fields: Json = [
        {"manager": "kubectl", "fieldsV1": {"f:spec": {"f:replicas": {}}}},
        {"manager": manager, "fieldsV1": template},
    ]
    return {"metadata": {"labels": labels or {}, "annotations": {**(notes or {})}, "managedFields": fields}}


HELM = {"meta.helm.sh/release-name": "serving", "meta.helm.sh/release-namespace": "tools"}
ARGO = {"argocd.argoproj.io/tracking-id": "serving:apps/Deployment:tools/x"}
RELEASE: JsonObject = {"helm.toolkit.fluxcd.io/name": "a", "helm.toolkit.fluxcd.io/namespace": "b"}
FLUX: JsonObject = {"kustomize.toolkit.fluxcd.io/name": "apps", "kustomize.toolkit.fluxcd.io/namespace": "flux"}


@pytest.mark.parametrize(
    ("controller", "name", "upgrade"),
    [
        (
            deployment("helm", notes=HELM),
            "Helm (release serving)",
            "bateau install --helm chart && helm upgrade serving ./chart --namespace tools --reset-then-reuse-values",
        ),
        (
            deployment("helm-controller", RELEASE),
            "Flux (HelmRelease b/a)",
            "publish the chart that `bateau install --helm DIRECTORY` writes where Flux (HelmRelease b/a) reads it",
        ),
        (
            deployment("kustomize-controller", FLUX),
            "Flux (Kustomization flux/apps)",
            f"commit the output of `{PRINTED}` to the repository that Flux (Kustomization flux/apps) reads",
        ),
        (
            deployment("argocd-controller", notes=ARGO),
            "Argo CD (application serving)",
            f"commit the output of `{PRINTED}` to the repository that Argo CD (application serving) reads",
        ),
        (deployment("kubectl-client-side-apply"), "kubectl", f"{PRINTED} | kubectl apply --server-side --filename=-"),
        (deployment("ours"), "ours", f"commit the output of `{PRINTED}` to the repository that ours reads"),
    ],
)
def test_the_tool_is_named_with_its_command(controller: JsonObject, name: str, upgrade: str):
    found = other_tool(controller, SETTINGS)
    assert found is not None
    assert (found.name, found.upgrade) == (name, upgrade)
    assert found.says == f"Bateau is installed in namespace tools by {name}, and not by `bateau install`"


def test_an_installation_of_bateau_whose_inventory_is_lost_has_no_other_tool():
    assert other_tool(deployment("bateau"), SETTINGS) is None
