"""The accelerators that a cluster offers, as far as that is known. Part of the inventory of a site.

Observed by runtimes.kubernetes.offers, and read by render.kubernetes.accelerator. Nothing offered and nothing known are
different: without an answer of the cluster, there is no reason to warn.
"""

from dataclasses import dataclass, replace
from typing import Literal

Sharer = Literal["hami", "kai"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Offers:
    """The ways to get an accelerator on a cluster. None: not known, for example without the right to list nodes.

    `device_classes` are the names of its DeviceClasses (`resource.k8s.io/v1`), `node_resources` those of the extended
    resources that a node has, such as "nvidia.com/gpu". `sharers` can give a pod a part of an accelerator's memory.
    """

    device_classes: frozenset[str] | None = None
    node_resources: frozenset[str] | None = None
    sharers: frozenset[Sharer] = frozenset()

    def kept(self, earlier: "Offers | None") -> "Offers":
        """Return these offers and the earlier ones together.

        >>> Offers(device_classes=None).kept(Offers(device_classes=frozenset({"gpu.nvidia.com"}))).device_classes
        frozenset({'gpu.nvidia.com'})
        """
        if earlier is None:
            return self
        return replace(
            self,
            device_classes=_joined(self.device_classes, earlier.device_classes),
            node_resources=_joined(self.node_resources, earlier.node_resources),
            sharers=self.sharers | earlier.sharers,
        )


def _joined(one: frozenset[str] | None, other: frozenset[str] | None) -> frozenset[str] | None:
    return other if one is None else one | (other or frozenset())
