"""The bounds of a service that alerts compare its measures with.

Called by render.monitoring.rules and wiring.alert_facts. Pure.
"""

from dataclasses import dataclass
from typing import Final

from bateau.domain.workload import Workload

_QUEUE: Final = 64  # that of `scale` without a `queue`


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """The bounds of all replicas of a service together; None: it has none."""

    cpu: float | None = None
    memory: float | None = None
    queue: float | None = None


def bounds_of(service: Workload) -> Bounds:
    """Return the bounds of a service."""
    resources, count = service.resources, max(service.replicas, 1)
    queue = None
    if service.scale:
        queue = float(service.scale.queue.max if service.scale.queue else _QUEUE)
    return Bounds(
        cpu=resources.cpu * count if resources.cpu else None,
        memory=float(resources.memory * count) if resources.memory else None,
        queue=queue or None,
    )
