"""Choose how a pod gets its accelerators: by a ResourceClaim, a resource of a device plugin, or a part of a device.

Called by render.kubernetes.pod and render.kubernetes.target. Sources: Dynamic Resource Allocation (KEP-4381) and the
attributes that the drivers of NVIDIA, AMD and Intel publish; "device memory" of HAMi; "GPU sharing" of KAI.

The first way that the cluster has is used: a DeviceClass of the vendor; a part of a device's memory, if the spec asks
for memory and HAMi or KAI is there; whole devices of the device plugin. Where nobody knows what the cluster has, it is
the device plugin, which is the most common.

Invariant: every choice is explained by the origin of the fields that it makes, and memory that cannot be asked for is a
finding. Held by tests/render/test_accelerator.py.
Refused: a limiter of our own for parts of devices.
"""

import hashlib
import json
import math
from dataclasses import dataclass, field
from typing import Final

from bateau.domain.offers import Offers, Sharer
from bateau.domain.workload import Accelerator
from bateau.kit.quantity import format_bytes
from bateau.render.kubernetes.shape import Shape
from bateau.render.marks import From, Marked, MarkedObject, Rule, plain_object

_API: Final = "resource.k8s.io/v1"
_CLAIM: Final = "accelerator"
_COUNT: Final = "spec.accelerator.count"
_MEMORY: Final = "spec.accelerator.memory"
_MIB: Final = 1024 * 1024
_QUEUE: Final = "kai.scheduler/queue"
_DIGEST_CHARACTERS: Final = 8


@dataclass(frozen=True, slots=True)
class _Vendor:
    """The names of a vendor: its DeviceClass, which is that of its driver, too, and its resources, the best first."""

    device_class: str
    resources: tuple[str, ...]
    sharers: tuple[Sharer, ...] = ()


_VENDORS: Final = {
    "nvidia": _Vendor("gpu.nvidia.com", ("nvidia.com/gpu",), ("hami", "kai")),
    "amd": _Vendor("gpu.amd.com", ("amd.com/gpu",)),
    "intel": _Vendor("gpu.intel.com", ("gpu.intel.com/xe", "gpu.intel.com/i915")),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Devices:
    """The parts of the objects of a service that get accelerators for its pods; all are empty without one.

    `amounts` and `claims` are those of the container, `fields` those of the pod.
    """

    amounts: MarkedObject = field(default_factory=dict[str, Marked])
    claims: tuple[MarkedObject, ...] = ()
    fields: MarkedObject = field(default_factory=dict[str, Marked])
    annotations: MarkedObject = field(default_factory=dict[str, Marked])
    labels: MarkedObject = field(default_factory=dict[str, Marked])
    objects: tuple[MarkedObject, ...] = ()


def devices_of(shape: Shape) -> Devices:
    """Return how the pods of a service get their accelerators."""
    asked, offers = shape.service.accelerator, shape.around.inventory.offers
    if asked is None:
        return Devices()
    vendor = _VENDORS[asked.vendor]
    if offers and vendor.device_class in (offers.device_classes or ()):
        return _claimed(shape, asked, vendor)
    resource, says = _plugin(vendor, offers)
    if offers and offers.device_classes is None:
        unknown = "the account may not list DeviceClasses, so a device plugin is assumed; grant it `list` on them"
        shape.say(unknown, "spec.accelerator")
    if offers and offers.node_resources is not None and resource not in offers.node_resources:
        shape.say(_lacking(vendor, resource, offers.node_resources), "spec.accelerator")
    if asked.memory:
        sharer = next((each for each in vendor.sharers if offers and each in offers.sharers), None)
        if sharer == "hami":
            return _by_hami(asked, resource, asked.memory)
        if sharer == "kai":
            return _by_kai(shape, asked, asked.memory, vendor)
        shape.say(f"not rendered: {_MEMORY}; Kubernetes counts whole accelerators", _MEMORY)
    return Devices(amounts={resource: From(str(asked.count), _COUNT, says)})


def _plugin(vendor: _Vendor, offers: Offers | None) -> tuple[str, str]:
    """Return the resource of the device plugin that is used, and the reason."""
    if offers is None or offers.node_resources is None:
        return vendor.resources[0], "resource of the device plugin; what the cluster offers is not known"
    found = next((each for each in vendor.resources if each in offers.node_resources), None)
    if found is None:
        return vendor.resources[0], "resource of the device plugin, although no node offers it"
    return found, f"a node offers {found}, and no DeviceClass {vendor.device_class} is known"


def _lacking(vendor: _Vendor, resource: str, on_nodes: frozenset[str]) -> str:
    domain = resource.partition("/")[0]
    others = sorted(each for each in on_nodes if each.partition("/")[0] == domain)
    instead = f" (but {', '.join(others)})" if others else ""
    says = f"no node offers {resource}{instead}, and no DeviceClass {vendor.device_class} is known"
    return f"{says}; pods wait until a node offers it"


def _tolerations(vendor: _Vendor) -> list[Marked]:
    """Return tolerations for nodes that are reserved for pods with accelerators.

    Their taint has the name of the resource. The API server adds the toleration to pods that request that resource, and
    only to these (the admission plugin ExtendedResourceToleration).
    """
    says = "nodes with accelerators are often tainted for other pods"
    return [Rule({"key": resource, "operator": "Exists"}, says) for resource in vendor.resources]


def _claimed(shape: Shape, asked: Accelerator, vendor: _Vendor) -> Devices:
    """Return a claim for whole devices, which the cluster makes from a template for each pod."""
    device_class = vendor.device_class
    says = f"the cluster has DeviceClass {device_class}"
    exactly: MarkedObject = {
        "deviceClassName": From(device_class, "spec.accelerator.vendor", says),
        "allocationMode": Rule("ExactCount", "as many devices as `count` says"),
        "count": From(asked.count, _COUNT),
    }
    if asked.memory:
        # A device that does not publish its memory is not chosen; without `has`, it would fail the allocation.
        memory = f'device.capacity["{device_class}"].memory'
        least = f'has({memory}) && {memory}.compareTo(quantity("{format_bytes(asked.memory)}")) >= 0'
        expression = From(least, _MEMORY, "a device with at least this much memory")
        exactly["selectors"] = [{"cel": {"expression": expression}}]
    claim = Rule(_CLAIM, says)
    body: MarkedObject = {"spec": {"devices": {"requests": [{"name": claim, "exactly": exactly}]}}}
    content = json.dumps(plain_object(body), sort_keys=True).encode()
    digest = hashlib.sha256(content).hexdigest()[:_DIGEST_CHARACTERS]
    # A template cannot be changed: another content is another template.
    name = From(f"{shape.service.name}-{digest}", "spec.accelerator", says)
    return Devices(
        claims=({"name": claim},),
        fields={
            "resourceClaims": [{"name": claim, "resourceClaimTemplateName": name}],
            "tolerations": _tolerations(vendor),
        },
        objects=(shape.document(_API, "ResourceClaimTemplate", {"spec": body}, name=name),),
    )


def _by_hami(asked: Accelerator, resource: str, memory_bytes: int) -> Devices:
    """Return a part of each device. The webhook of HAMi sets the scheduler, and its library limits the memory."""
    says = "a part of each device, in MiB; a node of the cluster has HAMi"
    return Devices(
        amounts={
            resource: From(str(asked.count), _COUNT, "devices that are shared; a node of the cluster has HAMi"),
            f"{resource}mem": From(_mebibytes(memory_bytes), _MEMORY, says),
        }
    )


def _by_kai(shape: Shape, asked: Accelerator, memory_bytes: int, vendor: _Vendor) -> Devices:
    """Return a part of each device, which the scheduler of KAI reserves."""
    says = "the cluster has KAI, which shares devices"
    annotations: MarkedObject = {"gpu-memory": From(_mebibytes(memory_bytes), _MEMORY, f"in MiB; {says}")}
    if asked.count > 1:
        annotations["gpu-fraction-num-devices"] = From(str(asked.count), _COUNT, says)
    queue = Rule("default-queue", "queue of KAI; the label `kai.scheduler/queue` of the spec names another one")
    return Devices(
        fields={"schedulerName": Rule("kai-scheduler", says), "tolerations": _tolerations(vendor)},
        annotations=annotations,
        labels={} if _QUEUE in shape.service.labels else {_QUEUE: queue},
    )


def _mebibytes(number_bytes: int) -> str:
    return str(math.ceil(number_bytes / _MIB))
