"""How a runtime turns a service into a process. Satisfied by runtimes.local.templates; pure."""

from collections.abc import Mapping
from typing import Protocol

from bateau.domain.model_file import ModelFile
from bateau.domain.placement import ModelCapacity
from bateau.domain.process import ProcessTemplate
from bateau.domain.release import Service


class Templates(Protocol):
    """Makes the process template of a service."""

    def template(
        self,
        service: Service,
        *,
        file: ModelFile | None,
        capacity: ModelCapacity | None,
        addresses: Mapping[str, str],
    ) -> ProcessTemplate:
        """Return the template. `addresses` maps service keys to the URLs that users of them call.

        Raises ReplicaError where the engine is not installed or cannot run this service.
        """
        ...
