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


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What a service is rendered among: all services by key, and the apps that use each."""

    environment: str | None
    namespace: str
    services: Mapping[str, Service]
    users: Mapping[str, Sequence[Service]]


class Target(Protocol):
    """Makes manifests of services. Pure: the same service and surroundings give the same objects."""

    name: str

    def render(self, service: Service, around: Surroundings) -> Rendering:
        """Return the objects of `service`; what cannot be expressed is a finding and never silence."""
        ...
