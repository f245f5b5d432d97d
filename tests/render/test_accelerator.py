"""The way in which a pod gets its accelerators, chosen from what the cluster offers.

The objects for HAMi and KAI are compared with the documentation of these projects. No controller of them ran.
"""

from dataclasses import replace
from typing import Literal

import pytest

from bateau.domain.offers import Offers
from bateau.domain.workload import Accelerator
from bateau.kit.json_value import Json, ReadObject, array_at, object_at, text_at
from bateau.render import Rendering, validate
from bateau.wiring.schemas import VERSIONS, load_schemas
from render.building import app, model, release_of, render

NONE: frozenset[str] = frozenset()
DRA = Offers(device_classes=frozenset({"gpu.nvidia.com"}), node_resources=frozenset({"nvidia.com/gpu"}))
PLUGIN = Offers(device_classes=NONE, node_resources=frozenset({"nvidia.com/gpu", "example.com/other"}))
HAMI = Offers(device_classes=NONE, node_resources=PLUGIN.node_resources, sharers=frozenset({"hami"}))
KAI = Offers(device_classes=NONE, node_resources=PLUGIN.node_resources, sharers=frozenset({"kai"}))
MIG = frozenset({"nvidia.com/mig-1g.10gb", "amd.com/gpu"})
NOTHING = Offers(device_classes=NONE, node_resources=NONE)
Vendor = Literal["nvidia", "amd", "intel"]
BIG = "source: 'hf://org/big', resources: {cpu: '8', memory: 64Gi}, accelerator: {count: 2%s}"
MEMORY = ", memory: 20Gi"


def rendered(offers: Offers | None, more: str = "") -> Rendering:
    made = render(release_of(model("big", BIG % more)), offers=offers)
    assert [each for version in VERSIONS for each in validate(made.manifests, load_schemas(version))] == []
    return made


def one(made: Rendering, kind: str) -> ReadObject:
    (found,) = [each.tree for each in made.manifests if each.tree["kind"] == kind]
    return found


def pod(made: Rendering) -> ReadObject:
    return object_at(one(made, "Deployment"), "spec", "template", "spec")


def limits(made: Rendering) -> ReadObject:
    return object_at(array_at(pod(made), "containers")[0], "resources", "limits")


def reasons(made: Rendering, kind: str, value: Json) -> set[str]:
    """Return the rules that made the leaves with this value."""
    (found,) = [each for each in made.manifests if each.tree["kind"] == kind]
    return {str(chain[-1].says) for chain in found.origins.values() if chain[-1].value == value}


def test_a_device_class_gives_a_claim_for_each_pod():
    made = rendered(DRA, MEMORY)
    template = one(made, "ResourceClaimTemplate")
    (request,) = array_at(template, "spec", "spec", "devices", "requests")
    memory = 'device.capacity["gpu.nvidia.com"].memory'
    assert request == {
        "name": "accelerator",
        "exactly": {
            "deviceClassName": "gpu.nvidia.com",
            "allocationMode": "ExactCount",
            "count": 2,
            "selectors": [{"cel": {"expression": f'has({memory}) && {memory}.compareTo(quantity("20Gi")) >= 0'}}],
        },
    }
    name = text_at(template, "metadata", "name")
    assert array_at(pod(made), "resourceClaims") == [{"name": "accelerator", "resourceClaimTemplateName": name}]
    resources = object_at(array_at(pod(made), "containers")[0], "resources")
    assert resources == {
        "requests": {"cpu": "8", "memory": "64Gi"},
        "limits": {"cpu": "8", "memory": "64Gi"},
        "claims": [{"name": "accelerator"}],
    }
    assert pod(made)["tolerations"] == [{"key": "nvidia.com/gpu", "operator": "Exists"}]
    assert made.findings == ()
    assert reasons(made, "ResourceClaimTemplate", "gpu.nvidia.com") == {"the cluster has DeviceClass gpu.nvidia.com"}
    words = array_at(array_at(pod(made), "containers")[0], "args")
    assert words[words.index("--tensor-parallel-size") + 1] == "2"


def test_another_claim_is_another_template_as_one_cannot_be_changed():
    def name(more: str) -> str:
        return text_at(one(rendered(DRA, more), "ResourceClaimTemplate"), "metadata", "name")

    assert name("") == name("")
    assert name("") != name(MEMORY)


def test_a_template_comes_before_the_pods_that_need_it():
    kinds = [str(each.tree["kind"]) for each in rendered(DRA).manifests]
    assert kinds.index("ResourceClaimTemplate") < kinds.index("Deployment")


def test_without_a_device_class_the_resource_of_the_device_plugin_is_used():
    made = rendered(PLUGIN)
    assert limits(made)["nvidia.com/gpu"] == "2"
    says = "a node offers nvidia.com/gpu, and no DeviceClass gpu.nvidia.com is known"
    assert reasons(made, "Deployment", "2") >= {says}
    assert made.findings == ()


def test_without_a_cluster_it_is_the_device_plugin_without_a_warning():
    made = rendered(None, MEMORY)
    assert limits(made)["nvidia.com/gpu"] == "2"
    assert reasons(made, "Deployment", "2") >= {"resource of the device plugin; what the cluster offers is not known"}
    says = "not rendered: spec.accelerator.memory; Kubernetes counts whole accelerators"
    assert [each.says for each in made.findings] == [says]


@pytest.mark.parametrize(("on_nodes", "instead"), [(NONE, ""), (MIG, " (but nvidia.com/mig-1g.10gb)")])
def test_an_accelerator_that_nothing_offers_is_a_warning(on_nodes: frozenset[str], instead: str):
    made = rendered(Offers(device_classes=NONE, node_resources=on_nodes))
    assert limits(made)["nvidia.com/gpu"] == "2"
    says = (
        f"no node offers nvidia.com/gpu{instead}, and no DeviceClass gpu.nvidia.com is known; "
        "pods wait until a node offers it"
    )
    assert [(each.verdict, each.says) for each in made.findings] == [("warning", says)]


def test_an_account_without_rights_gets_the_device_plugin_and_a_warning():
    made = rendered(Offers())
    assert limits(made)["nvidia.com/gpu"] == "2"
    says = "the account may not list DeviceClasses, so a device plugin is assumed; grant it `list` on them"
    assert [(each.verdict, each.says) for each in made.findings] == [("warning", says)]


def test_other_vendors_have_classes_and_resources_of_their_own():
    def first(vendor: Vendor, offers: Offers) -> str:
        release = release_of(app("shop", "image: 'acme/shop:1'"))
        services = tuple(replace(each, accelerator=Accelerator(vendor=vendor)) for each in release.services)
        made = render(replace(release, services=services), offers=offers)
        templates = [each.tree for each in made.manifests if each.tree["kind"] == "ResourceClaimTemplate"]
        for each in templates:
            request = array_at(each, "spec", "spec", "devices", "requests")[0]
            return text_at(request, "exactly", "deviceClassName")
        return next(iter(limits(made)))

    intel = Offers(device_classes=NONE, node_resources=frozenset({"gpu.intel.com/i915"}))
    assert first("intel", intel) == "gpu.intel.com/i915", "the older driver has another resource"
    assert first("intel", NOTHING) == "gpu.intel.com/xe"
    assert first("intel", Offers(device_classes=frozenset({"gpu.intel.com"}))) == "gpu.intel.com"
    assert first("amd", DRA) == "amd.com/gpu"
    assert first("amd", Offers(device_classes=frozenset({"gpu.amd.com"}))) == "gpu.amd.com"


def test_memory_is_a_part_of_each_device_where_hami_is_there():
    made = rendered(HAMI, MEMORY)
    found = limits(made)
    assert (found["nvidia.com/gpu"], found["nvidia.com/gpumem"]) == ("2", "20480")
    assert reasons(made, "Deployment", "20480") == {"a part of each device, in MiB; a node of the cluster has HAMi"}
    assert made.findings == ()
    assert "nvidia.com/gpumem" not in limits(rendered(HAMI)), "without memory, whole devices"


def test_memory_is_a_part_of_each_device_where_kai_is_there():
    made = rendered(KAI, MEMORY)
    assert "nvidia.com/gpu" not in limits(made)
    metadata = object_at(one(made, "Deployment"), "spec", "template", "metadata")
    assert metadata["annotations"] == {"gpu-memory": "20480", "gpu-fraction-num-devices": "2"}
    assert object_at(metadata, "labels")["kai.scheduler/queue"] == "default-queue"
    assert pod(made)["schedulerName"] == "kai-scheduler"
    assert pod(made)["tolerations"] == [{"key": "nvidia.com/gpu", "operator": "Exists"}]
    assert reasons(made, "Deployment", "kai-scheduler") == {"the cluster has KAI, which shares devices"}
    assert made.findings == ()
    assert "schedulerName" not in pod(rendered(KAI)), "without memory, whole devices"


def test_a_spec_names_another_queue_of_kai():
    document = model("big", BIG % MEMORY).replace("{name: big}", "{name: big, labels: {kai.scheduler/queue: team}}")
    made = render(release_of(document), offers=KAI)
    labels = object_at(one(made, "Deployment"), "spec", "template", "metadata", "labels")
    assert labels["kai.scheduler/queue"] == "team"


def test_nothing_of_a_service_on_cpu_depends_on_the_offers():
    release = release_of(app("shop", "image: 'acme/shop:1'"))
    assert [each.tree for each in render(release, offers=KAI).manifests] == [
        each.tree for each in render(release).manifests
    ]
