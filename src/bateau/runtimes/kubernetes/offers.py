"""Read from an API server which accelerators its cluster offers.

Called by wiring.clusters and wiring.controller. Sources: Dynamic Resource Allocation (KEP-4381); the protocol of HAMi
(docs/develop/protocol.md), whose device plugin registers the devices of a node in annotations; the CRDs of KAI. The
group `scheduling.run.ai` does not tell KAI from Run:ai, whose scheduler has another name.

Invariant: an account without a right gets None for that part. Any other failure is an error: objects must not change
because a request has failed. Held by tests/runtimes/kubernetes/test_offers.py.
"""

import asyncio
from typing import Final

from bateau.domain.errors import ClusterDenied
from bateau.domain.offers import Offers, Sharer
from bateau.kit.json_value import JsonObject, array_at, object_at, text_at
from bateau.runtimes.kubernetes.api import ApiServer, Resource

_CLASSES_API: Final = "resource.k8s.io/v1"
_CLASSES: Final = Resource(f"/apis/{_CLASSES_API}", "deviceclasses", namespaced=False)
_TEMPLATES: Final = Resource(f"/apis/{_CLASSES_API}", "resourceclaimtemplates", namespaced=True)
_NODES: Final = Resource("/api/v1", "nodes", namespaced=False)
_KAI_GROUP: Final = "kai.scheduler/"
_HAMI_NODE: Final = "hami.io/node-nvidia-register"


async def read_offers(api: ApiServer, *, namespace: str = "") -> Offers:
    """Return what a cluster offers now. Raises ClusterError.

    An account that may not list DeviceClasses knows at least those that claims in `namespace` name: what an
    administrator has applied stays as it is.
    """
    # This needs no right beyond a valid account: credentials that are not accepted are an error here.
    served = await api.group_versions()
    classes, nodes = await asyncio.gather(_classes(api, served, namespace), _nodes(api))
    sharers: set[Sharer] = set()
    if any(each.startswith(_KAI_GROUP) for each in served):
        sharers.add("kai")
    if any(registered for _, registered in nodes or ()):
        sharers.add("hami")
    resources = None if nodes is None else frozenset[str]().union(*(each for each, _ in nodes))
    return Offers(device_classes=classes, node_resources=resources, sharers=frozenset(sharers))


async def _classes(api: ApiServer, served: frozenset[str], namespace: str) -> frozenset[str] | None:
    if _CLASSES_API not in served:
        return frozenset()
    try:
        found, _ = await api.list(_CLASSES, lambda each: text_at(each, "metadata", "name"))
    except ClusterDenied:
        return await _claimed(api, namespace) if namespace else None
    return frozenset(found)


async def _claimed(api: ApiServer, namespace: str) -> frozenset[str] | None:
    """Return the DeviceClasses that templates of claims name, None if there are none."""
    try:
        found, _ = await api.list(_TEMPLATES, _named_by, namespace=namespace)
    except ClusterDenied:
        return None
    return frozenset[str]().union(*found) or None


def _named_by(template: JsonObject) -> frozenset[str]:
    requests = array_at(template, "spec", "spec", "devices", "requests")
    return frozenset(name for each in requests if (name := text_at(each, "exactly", "deviceClassName")))


async def _nodes(api: ApiServer) -> set[tuple[frozenset[str], bool]] | None:
    """Return the extended resources of each kind of node, and whether HAMi has registered it."""
    try:
        found, _ = await api.list(_NODES, _node)
    except ClusterDenied:
        return None
    return set(found)


def _node(tree: JsonObject) -> tuple[frozenset[str], bool]:
    amounts = object_at(tree, "status", "allocatable")
    # A plugin that has gone leaves an amount of 0. Names without a domain are those of Kubernetes itself.
    extended = frozenset(name for name, amount in amounts.items() if "/" in name and amount != "0")
    return extended, bool(text_at(tree, "metadata", "annotations", _HAMI_NODE))
