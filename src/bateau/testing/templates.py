"""Process templates that run nothing, whose revision follows what a service says.

Invariant: as with the real ones, how many replicas there are is no part of the revision, nor what follows from it.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import replace

from bateau.domain.errors import ReplicaError
from bateau.domain.model_file import ModelFile
from bateau.domain.placement import ModelCapacity
from bateau.domain.process import ProcessTemplate
from bateau.domain.release import Service
from bateau.domain.spec import AppSpec


class FakeTemplates:
    """Satisfies `bateau.ports.templates.Templates`. `refusals` maps service keys to the ReplicaError they get."""

    def __init__(self) -> None:
        self.refusals: dict[str, ReplicaError] = {}

    def template(
        self,
        service: Service,
        *,
        file: ModelFile | None,
        capacity: ModelCapacity | None,
        addresses: Mapping[str, str],
    ) -> ProcessTemplate:
        """Return the template. Raises ReplicaError where the test wants the service refused."""
        if service.key in self.refusals:
            raise self.refusals[service.key]
        used = {key: addresses.get(key) for key in getattr(service.spec, "uses", ())}
        bounds = (capacity.slots, capacity.context) if capacity else None
        said = repr((replace(service.spec, replicas=0), file, bounds, used))
        is_app = isinstance(service.spec, AppSpec)
        return ProcessTemplate(
            revision=hashlib.blake2b(said.encode(), digest_size=4).hexdigest(),
            command=(service.name,),
            port_names=tuple(service.spec.ports) if isinstance(service.spec, AppSpec) else (),
            uses_socket=not is_app,
        )
