"""What a render target offers: one workload becomes a unit of one kind of site.

Used by render and control; satisfied by the targets below render.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from bateau.domain.finding import Finding
from bateau.domain.inventory import Inventory
from bateau.domain.manifest import Manifest
from bateau.domain.unit import Address, Body, Objects, Whereabouts
from bateau.domain.workload import ServiceKey, Workload


@dataclass(frozen=True, slots=True, kw_only=True)
class Rendering:
    """What a workload becomes, and a finding for everything that was asked for and is not in it."""

    body: Body | None = None
    findings: tuple[Finding, ...] = ()

    @property
    def manifests(self) -> tuple[Manifest, ...]:
        """The Kubernetes objects; none where it becomes something else."""
        return self.body.manifests if isinstance(self.body, Objects) else ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What a workload is rendered among: where the services that it uses are called, and those that use it.

    `namespace` is its own; `users` has the namespace of each service that uses it, by key.
    A service that has no address is in `addresses` with None. `inventory` is what the site has.
    """

    environment: str | None
    namespace: str
    addresses: Mapping[str, Address | None]
    users: Mapping[ServiceKey, str] = field(default_factory=dict[ServiceKey, str])
    inventory: Inventory = field(default_factory=Inventory)


class Target(Protocol):
    """Makes units of workloads. Pure: the same workload and surroundings give the same body."""

    name: str

    def address(self, workload: Workload, where: Whereabouts) -> Address | None:
        """Return where users of `workload` call it; None where it has no port."""
        ...

    def render(self, workload: Workload, around: Surroundings) -> Rendering:
        """Return the body of the unit; what cannot be expressed is a finding and never silence."""
        ...
