"""Bateau's own services, which run beside those of the specs.

Called by control.loop.
"""

from collections.abc import Sequence
from dataclasses import replace

from bateau.domain.release import Release
from bateau.domain.workload import Workload
from bateau.kit.latest import Latest


class OwnServices:
    """Adds services to a release."""

    def __init__(self, services: Sequence[Workload]) -> None:
        self.keys = frozenset(service.key for service in services)
        self._services = tuple(services)
        self._with_own = Latest[Release]()

    def beside(self, release: Release) -> Release:
        """Return a release with these services: the same object for the same release."""

        def make() -> Release:
            services = sorted((*release.services, *self._services), key=lambda service: service.key)
            return replace(release, services=tuple(services))

        return self._with_own.of(make, same=(release,)) if self._services else release
