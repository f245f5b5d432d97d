"""What a render target offers: one service of a release becomes objects of one kind of cluster."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from bateau.domain.finding import Finding
from bateau.domain.manifest import Manifest
from bateau.domain.release import Service


@dataclass(frozen=True, slots=True, kw_only=True)
class Rendering:
    """Objects, and a finding for everything that was asked for and is not in them."""

    manifests: tuple[Manifest, ...] = ()
    findings: tuple[Finding, ...] = ()


# The URL that users of a service call, and its origin in words.
Address = tuple[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What a service is rendered among: where the services that it uses are called, and the keys of those that use it.

    A service that has no address is in `addresses` with None.
    """

    environment: str | None
    namespace: str
    addresses: Mapping[str, Address | None]
    users: Sequence[str]


class Target(Protocol):
    """Makes manifests of services. Pure: the same service and surroundings give the same objects."""

    name: str

    def address(self, service: Service, namespace: str) -> Address | None:
        """Return where users of `service` call it; None where it has no port."""
        ...

    def render(self, service: Service, around: Surroundings) -> Rendering:
        """Return the objects of `service`; what cannot be expressed is a finding and never silence."""
        ...
