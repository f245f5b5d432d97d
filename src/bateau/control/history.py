"""Keep what was released, when, from which commit and by whom.

Called by control.loop when it takes up a new release, and when everything of it is ready.

Invariant: what runs never waits for the history: where it cannot be written, that is logged and nothing else.
"""

import hashlib
import logging
from collections.abc import Mapping

from bateau.domain.errors import BateauError
from bateau.domain.release import Release, Service
from bateau.domain.revision import Draft, Revision
from bateau.ports.clock import Clock
from bateau.ports.revisions import Revisions

logger = logging.getLogger(__name__)

LOCAL = "local"  # the name in the history of specs that are served as they are written


class History:
    """The revisions of one control plane; without a place to keep them it does nothing."""

    def __init__(self, revisions: Revisions | None, clock: Clock, *, who: str) -> None:
        self._revisions = revisions
        self._clock = clock
        self._who = who
        self._open: Revision | None = None  # recorded, and not yet seen healthy

    def take(
        self,
        release: Release,
        texts: Mapping[str, str],
        *,
        commit: str | None,
        pins: Mapping[str, int] | None = None,
        says: str | None = None,
    ) -> None:
        """Record a release, unless it is the one that was recorded last. `pins` are the services that are held."""
        if self._revisions is None:
            return
        environment = release.environment or LOCAL
        try:
            latest = next(iter(self._revisions.history(environment, limit=1)), None)
            pinned = dict(pins or {})
            same = latest is not None and latest.commit == commit and dict(latest.pins) == pinned
            if latest and same and self._revisions.content(latest.id) == dict(texts):
                self._open = None if latest.outcome == "healthy" else latest
                return
            self._open = self._revisions.record(
                Draft(
                    environment=environment,
                    content=texts,
                    services={service.key: service_digest(service) for service in release.services},
                    who=self._who,
                    when_s=self._clock.wall(),
                    commit=commit,
                    outcome="applied",
                    pins=pinned,
                    says=says,
                )
            )
        except BateauError as error:
            logger.error("the history cannot be written: %s", error.message)

    def note_rolled_back(self, environment: str | None, says: str) -> None:
        """What was recorded last is what somebody went back from."""
        if self._revisions is None:
            return
        try:
            latest = next(iter(self._revisions.history(environment or LOCAL, limit=1)), None)
            if latest:
                self._revisions.mark(latest.id, when_s=self._clock.wall(), says=says, outcome="rolled back")
        except BateauError as error:
            logger.error("the history cannot be written: %s", error.message)

    def note_ready(self) -> None:
        """Everything of the release is ready: it is healthy."""
        if self._revisions is None or self._open is None:
            return
        try:
            self._revisions.mark(
                self._open.id, when_s=self._clock.wall(), says="every replica is ready", outcome="healthy"
            )
        except BateauError as error:
            logger.error("the history cannot be written: %s", error.message)
        self._open = None


def service_digest(service: Service) -> str:
    """Return the sha256 of all that a service is, defaults included; where it is written does not matter."""
    return hashlib.sha256(repr(service.tree).encode()).hexdigest()
