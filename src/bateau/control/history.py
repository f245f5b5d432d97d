"""Record each release: its content, its time, its commit and its author.

Called by control and wiring.changing.

Invariant: running services never wait for the history. If it cannot be written, that is logged and reported, and has no
other effect. Held by tests/local/test_apply.py::test_a_damaged_history_prevents_only_rollbacks.
Invariant: a revision is healthy when all its replicas have been ready for `HEALTHY_AFTER_S` without a break. A revision
that is replaced sooner is healthy if all its replicas were ready and none had to be restarted. Held by
tests/control/test_rollback.py.
"""

import functools
import hashlib
import json
import logging
from collections.abc import Mapping, Sequence
from typing import Final

from bateau.control.happenings import tell
from bateau.control.release_events import asked, changed, released, settled
from bateau.domain.errors import BateauError
from bateau.domain.release import Release
from bateau.domain.revision import Draft, Revision
from bateau.domain.workload import Workload
from bateau.kit.json_value import ReadJson
from bateau.kit.latest import Latest
from bateau.kit.position import leaves
from bateau.ports.clock import Clock
from bateau.ports.events import Events
from bateau.ports.revisions import Revisions

logger = logging.getLogger(__name__)

HEALTHY_AFTER_S: Final = 10.0  # a fault that kills replicas at their start shows within this time
RETRY_S: Final = 10.0

_DIGEST_FORMAT: Final = "2:"  # format 1 had no prefix, and changed with every field that a schema gained

LOCAL = "local"  # the environment name in the history of specs that are served without an environment


class History:
    """The revisions of one control plane. Without a store it does nothing."""

    def __init__(self, revisions: Revisions | None, clock: Clock, *, who: str, events: Sequence[Events] = ()) -> None:
        self._revisions = revisions
        self._clock = clock
        self._who = who
        self._events = events
        self._changed: list[str] = []  # the services that `_open` has changed
        self._open: Revision | None = None  # the recorded revision that is not yet healthy
        self._ready_since: float | None = None  # monotonic seconds; all replicas of `_open` are ready since then
        self._unrecorded: Draft | None = None  # a draft that could not be recorded yet
        self._retry_at = 0.0
        self._restarted = False  # whether any replica of `_open` had to be restarted
        self._digests: dict[str, Latest[str]] = {}
        self.trouble: str | None = None

    def take(
        self,
        release: Release,
        texts: Mapping[str, str],
        *,
        commit: str | None,
        pins: Mapping[str, int] | None = None,
        says: str | None = None,
        who: str | None = None,
    ) -> None:
        """Record a release, unless it equals the one that was recorded last. `pins` are the services that are held.

        Without `who`, it is by the user of this control plane.
        """
        if self._revisions is None:
            return
        if self._ready_since is not None and not self._restarted:
            self._mark_healthy("every replica was ready until it was replaced")
        self._ready_since, self._open = None, None
        self._unrecorded = Draft(
            environment=release.environment or LOCAL,
            content=texts,
            services=self._digests_of(release),
            who=who or self._who,
            when_s=self._clock.wall(),
            commit=commit,
            outcome="applied",
            pins=dict(pins or {}),
            says=says,
        )
        self._record(self._revisions, self._unrecorded)

    def _digests_of(self, release: Release) -> Mapping[str, str]:
        """Return the digest of each service. Those of unchanged services are known."""
        before, self._digests = self._digests, {}
        found: dict[str, str] = {}
        for service in release.services:
            latest = self._digests[service.key] = before.get(service.key) or Latest()
            found[service.key] = latest.of(functools.partial(service_digest, service), same=(service,))
        return found

    def _record(self, revisions: Revisions, draft: Draft) -> None:
        """Record a draft, unless it equals the revision that was recorded last. A failure is retried by `note`."""
        try:
            latest = next(iter(revisions.history(draft.environment, limit=1)), None)
            same = latest is not None and latest.commit == draft.commit and dict(latest.pins) == dict(draft.pins)
            if latest and same and revisions.content(latest.id) == dict(draft.content):
                self._open = None if latest.outcome == "healthy" else latest
            else:
                self._open = revisions.record(draft)
                before: Mapping[str, str] = latest.services if latest else {}
                self._changed = changed(before, draft.services)
                tell(self._events, released(before, self._open))
        except BateauError as error:
            self._fails(error)
        else:
            self._unrecorded = self.trouble = None

    def note_rolled_back(self, environment: str | None, service: str, says: str, *, who: str) -> None:
        """Mark the latest revision as the one that was rolled back, because of a service."""
        tell(self._events, [asked(service, "RolledBack", says, who=who, when_s=self._clock.wall())])
        if self._revisions is None:
            return
        try:
            latest = next(iter(self._revisions.history(environment or LOCAL, limit=1)), None)
            if latest:
                self._revisions.mark(latest.id, when_s=self._clock.wall(), says=says, outcome="rolled back")
                self._open = None
        except BateauError as error:
            self._fails(error)

    def note_restarted(self, environment: str | None, service: str, says: str, *, who: str) -> None:
        """Add an event to the latest revision: one of its services was restarted."""
        logger.info("%s", says)
        tell(self._events, [asked(service, "RestartAsked", says, who=who, when_s=self._clock.wall())])
        if self._revisions is None:
            return
        try:
            latest = next(iter(self._revisions.history(environment or LOCAL, limit=1)), None)
            if latest:
                self._revisions.mark(latest.id, when_s=self._clock.wall(), says=says)
        except BateauError as error:
            self._fails(error)

    def note(self, *, ready: bool, restarted: bool) -> None:
        """Record whether every replica of the release is ready now, and whether any had to be restarted."""
        may_write = self._clock.monotonic() >= self._retry_at
        if self._unrecorded and self._revisions and may_write:
            self._record(self._revisions, self._unrecorded)
        if self._open is None:
            return
        self._restarted = restarted
        if not ready:
            self._ready_since = None
        elif self._ready_since is None:
            self._ready_since = self._clock.monotonic()
        if self.healthy_in() == 0 and may_write:
            self._mark_healthy(f"every replica was ready for {HEALTHY_AFTER_S:.0f} s")

    def healthy_in(self) -> float | None:
        """Return the seconds until the release counts as healthy if nothing changes, or None if it will not."""
        if self._open is None or self._ready_since is None:
            return None
        return max(0.0, self._ready_since + HEALTHY_AFTER_S - self._clock.monotonic())

    def due_in(self) -> float | None:
        """Return the seconds until `note` has something to write if nothing changes, or None if it will not."""
        healthy_in = 0.0 if self._unrecorded else self.healthy_in()
        return None if healthy_in is None else max(healthy_in, self._retry_at - self._clock.monotonic())

    def _mark_healthy(self, says: str) -> None:
        if self._revisions is None or self._open is None:
            return
        try:
            self._revisions.mark(self._open.id, when_s=self._clock.wall(), says=says, outcome="healthy")
        except BateauError as error:
            self._fails(error)
        else:
            tell(self._events, settled(self._changed, self._open, says, when_s=self._clock.wall()))
            self._open = self.trouble = None

    def _fails(self, error: BateauError) -> None:
        says = f"the history cannot be written: {error.message}"
        if says != self.trouble:
            logger.error("%s; that is retried", says)
        self.trouble = says
        self._retry_at = self._clock.monotonic() + RETRY_S


def service_digest(service: Workload) -> str:
    """Return a digest of the content of a service's document, without its position.

    Defaults are left out, so that a newer version with more fields gives the same digest. A field that reads `env()`
    counts by its expression: its value is stored nowhere, and a new value is not a new spec of the service.
    """
    says: dict[str, ReadJson] = {}
    filled_in = dict(leaves(service.tree))
    for path, chain in service.origins.items():
        if path in service.withheld:
            says[path] = [step.says for step in chain if step.how == "expression"]
        elif any(step.how != "default" for step in chain):
            says[path] = filled_in.get(path, chain[-1].value)  # `scale: {}` is not a leaf once defaults are filled in
    canonical = json.dumps(says, sort_keys=True, separators=(",", ":"))
    return _DIGEST_FORMAT + hashlib.sha256(canonical.encode()).hexdigest()


def is_current(digest: str) -> bool:
    """Whether a digest has the format of this version's `service_digest`; other formats cannot be compared with it.

    >>> is_current("2:e3b0"), is_current("e3b0")
    (True, False)
    """
    return digest.startswith(_DIGEST_FORMAT)
