"""Restart services: a time per service, which is part of the desired state and makes a new revision of its replicas.

Called by api.operations, control.desired, control.loop, ui.cluster_dashboard, ui.instance and wiring.local. The runtime
then rolls the service as it does for a changed spec; on Kubernetes the time is the annotation that `kubectl rollout
restart` sets.

Invariant: a restart is remembered before it takes effect, so that the next control plane continues with it, and neither
reverts nor repeats it. Held by tests/control/test_restarts.py.
Refused: to stop and start replicas as a step; a step that a crash interrupts would be lost or repeated.
"""

import logging
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from bateau.control.history import LOCAL
from bateau.control.naming import service_named
from bateau.control.path import runs_here
from bateau.domain.errors import ControlError
from bateau.domain.release import Release
from bateau.kit.json_value import JsonObject, ReadObject, named_texts_at, object_at

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Restarted:
    """The service whose replicas are replaced, and when that was requested (RFC 3339)."""

    service: str
    restarted_at: str


class Restarts:
    """When each service of an environment was last restarted."""

    def __init__(self, environment: str | None) -> None:
        self._environment = environment or LOCAL
        self._times: dict[str, str] = {}
        self._elsewhere: JsonObject = {}  # the restarts of other environments, unchanged

    def remember(self, tree: object) -> None:
        """Restore what `remembered` returned. Damaged entries are logged and dropped."""
        kept = object_at(tree)
        self._elsewhere = {name: entries for name, entries in kept.items() if name != self._environment}
        entries = kept.get(self._environment, {})
        self._times = named_texts_at(entries)
        if not isinstance(entries, dict) or len(self._times) < len(entries):
            logger.error("some restarts of %s cannot be read; their services may restart once more", self._environment)

    def remembered(self) -> ReadObject:
        """Return the restarts as plain values, by environment."""
        return {**self._elsewhere, self._environment: dict(self._times)}

    def keep(self, release: Release) -> None:
        """Forget services that are no longer in `release`."""
        keys: set[str] = {service.key for service in release.services}
        self._times = {key: when for key, when in self._times.items() if key in keys}

    def applied(self, release: Release) -> Release:
        """Return the release with the time of the last restart in every service that has one."""
        services = tuple(
            replace(service, restarted_at=self._times[service.key]) if service.key in self._times else service
            for service in release.services
        )
        return replace(release, services=services)

    def restart(self, name: str, running: Release, *, when_s: float) -> Restarted:
        """Record the restart of a service at this time. Raises ControlError if no replica of it can run here."""
        service = service_named(name, running)
        if not runs_here(service):
            raise ControlError(
                f"{service.key} does not run on this machine, so it cannot be restarted here",
                hint="restart it where it runs; on a cluster with `kubectl rollout restart`",
            )
        when = datetime.fromtimestamp(when_s, tz=UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
        self._times[service.key] = when
        return Restarted(service=service.key, restarted_at=when)
