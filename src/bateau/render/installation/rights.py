"""The rights of the controller, as a table: each row says what a right is used for.

Called by control.installation and render.installation.objects.

Invariant: the controller uses every right, and needs no other. Held by tests/wiring/test_rights.py.
Refused: rights for the kinds of users' own manifests. Whoever adds such a kind grants it, by a ClusterRole with the
label AGGREGATE.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from bateau.domain.system_names import CONTROLLER_CERTIFICATES, GATEWAY_CERTIFICATES, LEASE
from bateau.kit.json_value import Json, JsonObject

_KEEP: Final = ("get", "list", "watch", "create", "patch", "delete")


@dataclass(frozen=True, kw_only=True)
class Right:
    """Some verbs on some resources of an API group.

    `names` limits it to objects of these names, and `own_namespace` to the namespace of the controller.
    """

    group: str
    resources: Sequence[str]
    verbs: Sequence[str]
    says: str
    names: Sequence[str] = ()
    own_namespace: bool = False

    @property
    def rule(self) -> JsonObject:
        """The rule of a role."""
        made: JsonObject = {"apiGroups": [self.group], "resources": [*self.resources], "verbs": [*self.verbs]}
        return {**made, "resourceNames": [*self.names]} if self.names else made


_KEPT_OBJECTS: Final = (
    Right(
        group="",
        resources=("configmaps", "serviceaccounts", "services"),
        verbs=_KEEP,
        says="keeps the objects of services, and the inventories, which are ConfigMaps",
    ),
    Right(group="apps", resources=("deployments",), verbs=_KEEP, says="keeps the objects of services"),
    Right(
        group="autoscaling", resources=("horizontalpodautoscalers",), verbs=_KEEP, says="keeps the objects of services"
    ),
    Right(group="networking.k8s.io", resources=("networkpolicies",), verbs=_KEEP, says="keeps the objects of services"),
    Right(
        group="gateway.networking.k8s.io",
        resources=("gateways", "grpcroutes", "httproutes"),
        verbs=_KEEP,
        says="keeps the routes of services, and the Gateways of those that name a class",
    ),
    Right(group="policy", resources=("poddisruptionbudgets",), verbs=_KEEP, says="keeps the objects of services"),
    Right(
        group="resource.k8s.io",
        resources=("resourceclaimtemplates",),
        verbs=_KEEP,
        says="keeps the objects of services",
    ),
)
_OTHERS: Final = (
    Right(group="", resources=("pods",), verbs=("list", "watch"), says="reports why replicas are not ready"),
    Right(
        group="metrics.k8s.io",
        resources=("pods",),
        verbs=("list",),
        says="shows the CPU and memory of replicas, where the cluster measures them",
    ),
    Right(group="apps", resources=("replicasets",), verbs=("list", "watch"), says="tells the pods of each revision"),
    Right(group="", resources=("nodes",), verbs=("list",), says="finds out which accelerators the nodes offer"),
    Right(
        group="resource.k8s.io",
        resources=("deviceclasses",),
        verbs=("list",),
        says="finds out which accelerators the cluster can claim",
    ),
    Right(
        group="",
        resources=("namespaces",),
        verbs=("get", "create", "patch"),
        says="makes the namespaces that the documents of a repository name",
    ),
    Right(
        group="events.k8s.io", resources=("events",), verbs=("create",), says="reports changes of a document's state"
    ),
    Right(
        group="coordination.k8s.io",
        resources=("leases",),
        verbs=("create",),
        says="one of several controllers acts",
        own_namespace=True,
    ),
    Right(
        group="coordination.k8s.io",
        resources=("leases",),
        verbs=("get", "update"),
        names=(LEASE,),
        says="one of several controllers acts",
        own_namespace=True,
    ),
    Right(
        group="",
        resources=("secrets",),
        verbs=("get", "create", "patch"),
        names=(CONTROLLER_CERTIFICATES, GATEWAY_CERTIFICATES),
        says="keeps the certificates of the channel between the controller and the gateways",
        own_namespace=True,
    ),
)


# Not one of the controller's rights unless the installation says so: whoever may forward a port of the controller's pod
# reads the logs of all services then.
LOGS: Final = Right(group="", resources=("pods/log",), verbs=("get",), says="shows the logs of replicas")


@dataclass(frozen=True, kw_only=True)
class DocumentResource:
    """A kind of documents in the cluster: its API group, its plural, and whether the controller writes its status."""

    group: str
    plural: str
    reported: bool


def rights_of_controller(documents: Sequence[DocumentResource]) -> tuple[Right, ...]:
    """Return every right of the controller; `documents` are the kinds that it reads."""
    (group,) = {each.group for each in documents}
    reported = tuple(f"{each.plural}/status" for each in documents if each.reported)
    return (
        Right(
            group=group,
            resources=tuple(each.plural for each in documents),
            verbs=("list", "watch"),
            says="reads the documents",
        ),
        Right(group=group, resources=reported, verbs=("patch",), says="reports the state of a document"),
        Right(
            group="apiextensions.k8s.io",
            resources=("customresourcedefinitions",),
            verbs=("get",),
            names=tuple(f"{each.plural}.{each.group}" for each in documents),
            says="a document that vanishes with its definition was not deleted: its objects stay",
        ),
        *_KEPT_OBJECTS,
        *_OTHERS,
    )


def rules(rights: Iterable[Right], *, own_namespace: bool) -> list[Json]:
    """Return the rules of the ClusterRole, or with `own_namespace` those of the Role."""
    return [each.rule for each in rights if each.own_namespace == own_namespace]
