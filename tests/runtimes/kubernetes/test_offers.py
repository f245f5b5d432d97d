"""What a cluster offers for accelerators, read from a real API server.

HAMi and KAI are there in name only: the annotation of a node, and the API group.
"""

from pathlib import Path

import pytest
from aiohttp import web

from bateau.domain.errors import ClusterDenied, ClusterError, ObjectRefused
from bateau.domain.offers import Offers
from bateau.kit.json_value import JsonObject, text_at
from bateau.runtimes.kubernetes import ApiServer, access_of
from bateau.runtimes.kubernetes.api import Resource
from bateau.runtimes.kubernetes.offers import read_offers
from cluster.kubectl import Kubectl
from runtimes.kubernetes.rig import Bench, eventually, idle_node
from runtimes.kubernetes.servant import served

CLASSES = Resource("/apis/resource.k8s.io/v1", "deviceclasses", namespaced=False)
NODES = Resource("/api/v1", "nodes", namespaced=False)
DEFINITIONS = Resource("/apis/apiextensions.k8s.io/v1", "customresourcedefinitions", namespaced=False)


def definition(group: str, plural: str) -> JsonObject:
    schema: JsonObject = {"openAPIV3Schema": {"type": "object"}}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{group}"},
        "spec": {
            "group": group,
            "scope": "Cluster",
            "names": {"plural": plural, "kind": "Config"},
            "versions": [{"name": "v1", "served": True, "storage": True, "schema": schema}],
        },
    }


def template(device_class: str) -> JsonObject:
    request: JsonObject = {"name": "accelerator", "exactly": {"deviceClassName": device_class}}
    return {
        "apiVersion": "resource.k8s.io/v1",
        "kind": "ResourceClaimTemplate",
        "metadata": {"name": "chat"},
        "spec": {"spec": {"devices": {"requests": [request]}}},
    }


async def remove(at: Bench, resource: Resource, name: str) -> None:
    tree = await at.api.get(resource, "", name)
    await at.api.delete(resource, "", name, uid=text_at(tree, "metadata", "uid"))


async def test_the_classes_the_resources_of_nodes_and_the_sharers_are_read(cluster_bench: Bench):
    at, device_class = cluster_bench, f"{cluster_bench.namespace}.example.com"
    before = await read_offers(at.api)
    assert before.device_classes is not None
    assert device_class not in before.device_classes
    assert before.sharers == frozenset()
    registered = {"hami.io/node-nvidia-register": "GPU-0,10,32768,100,NVIDIA-Tesla V100,0,true:"}
    amounts = {f"{at.namespace}/gpu": "2", f"{at.namespace}/gone": "0"}
    await at.api.create(NODES, idle_node(at.namespace, registered, **amounts))
    kind: JsonObject = {"apiVersion": "resource.k8s.io/v1", "kind": "DeviceClass", "metadata": {"name": device_class}}
    await at.api.create(CLASSES, {**kind, "spec": {}})
    await at.api.create(DEFINITIONS, definition("kai.scheduler", "configs"))
    try:

        async def has_kai() -> bool:
            return "kai" in (await read_offers(at.api)).sharers

        await eventually(has_kai)
        found = await read_offers(at.api)
    finally:
        await remove(at, NODES, at.namespace)
        await remove(at, CLASSES, device_class)
        await remove(at, DEFINITIONS, "configs.kai.scheduler")
    assert found.device_classes == before.device_classes | {device_class}
    assert found.sharers == {"hami", "kai"}
    assert found.node_resources is not None
    assert f"{at.namespace}/gpu" in found.node_resources
    assert f"{at.namespace}/gone" not in found.node_resources
    assert "cpu" not in found.node_resources


async def test_an_account_without_rights_knows_nothing_and_gets_no_error(cluster_bench: Bench, tmp_path: Path):
    kubectl = Kubectl(cluster_bench.kubeconfig, cluster_bench.namespace)
    kubectl("create", "serviceaccount", "reader")
    account = kubectl.with_token(kubectl("create", "token", "reader").strip(), tmp_path)
    async with ApiServer(access_of([account])) as api:
        nothing = Offers(device_classes=None, node_resources=None)
        assert await read_offers(api, namespace=cluster_bench.namespace) == nothing
        view = f"--serviceaccount={cluster_bench.namespace}:reader"
        kubectl("create", "role", "reader", "--verb=list", "--resource=resourceclaimtemplates.resource.k8s.io")
        kubectl("create", "rolebinding", "reader", "--role=reader", view)

        kubectl.apply(template("gpu.example.com"))

        async def may_list() -> bool:
            return await read_offers(api, namespace=cluster_bench.namespace) != nothing

        await eventually(may_list)
        found = await read_offers(api, namespace=cluster_bench.namespace)
    assert found.device_classes == {"gpu.example.com"}, "what an administrator has applied is known to be there"


@pytest.mark.parametrize(
    ("path", "code", "error"), [("/apis", 401, ClusterDenied), ("/api/v1/nodes", 422, ObjectRefused)]
)
async def test_a_failure_is_not_taken_for_a_cluster_that_offers_nothing(
    path: str, code: int, error: type[ClusterError]
):
    async def answer(request: web.Request) -> web.StreamResponse:
        return web.json_response({"message": "no"}, status=code) if request.path == path else web.json_response({})

    async with served(answer) as (api, _):
        with pytest.raises(error):
            await read_offers(api)
