"""The port of a render target, which turns one workload into a unit for one kind of site.

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
    """The body of a workload's unit, and a finding for every requested feature that it does not contain."""

    body: Body | None = None
    findings: tuple[Finding, ...] = ()

    @property
    def manifests(self) -> tuple[Manifest, ...]:
        """The Kubernetes objects; none if the body is of another kind."""
        return self.body.manifests if isinstance(self.body, Objects) else ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """The context of a workload: the addresses of the services that it uses, and the services that use it.

    `namespace` is its own; `users` has the namespace of each service that uses it, by key. In `addresses`, a service
    without an address has None. `inventory` describes the site.
    """

    environment: str | None
    namespace: str
    addresses: Mapping[str, Address | None]
    users: Mapping[ServiceKey, str] = field(default_factory=dict[ServiceKey, str])
    inventory: Inventory = field(default_factory=Inventory)


class Target(Protocol):
    """Renders workloads. Pure: the same workload and surroundings give the same body."""

    name: str

    def address(self, workload: Workload, where: Whereabouts) -> Address | None:
        """Return the address of `workload` for its users; None if it has no port."""
        ...

    def render(self, workload: Workload, around: Surroundings) -> Rendering:
        """Return the body of the unit; a feature that the target cannot express is a finding, and never ignored."""
        ...
