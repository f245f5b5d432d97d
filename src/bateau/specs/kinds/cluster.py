"""Cluster: a Kubernetes cluster that environments run on."""

from dataclasses import dataclass

from bateau.domain.resource import Column, Resource
from bateau.domain.spec import Kind
from bateau.kit.schema import described


@dataclass(frozen=True, kw_only=True)
class ClusterSpec:
    """A Kubernetes cluster. Without any field: the context of the same name in the kubeconfig of whoever asks."""

    context: str | None = described(
        "Context of the kubeconfig. Absent: the name of the document.", default=None, examples=("berlin-admin",)
    )
    kubeconfig: str | None = described(
        "File of the kubeconfig. Absent: KUBECONFIG, or ~/.kube/config.", default=None, examples=("~/.kube/berlin",)
    )
    in_cluster: bool = described(
        "Use the service account of the pod that Bateau runs in, instead of a kubeconfig.", default=False
    )


_RESOURCE = Resource(
    plural="clusters",
    short_name="bclu",
    columns=(
        Column(name="Context", path=".spec.context"),
        Column(name="InCluster", path=".spec.inCluster", type="boolean"),
    ),
)

KIND = Kind(name="Cluster", schema=ClusterSpec, resource=_RESOURCE)
