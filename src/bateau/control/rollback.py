"""Hold services at an earlier revision, until their spec changes.

Called by api.operations, api.preview_json, control.deliveries, control.desired, control.loop, ui.changes and wiring.

Invariant: a service is held only while its spec is the one that was rolled back. A change of its spec ends the hold.
Held by tests/control/test_rollback.py.
Invariant: digests of different formats are never compared: the revision in the history is read again instead. Its
digests only shorten the search for a revision. Held by tests/control/test_upgrades.py.
Invariant: a revision that cannot be read changes nothing. The service runs as its current spec says, and the status
reports that. Held by
tests/control/test_rollback.py::test_a_hold_that_cannot_be_read_leaves_the_service_as_its_spec_says.
Refused: restoring all texts of a revision; that would roll back the healthy services as well.
"""

import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace

from bateau.control.history import LOCAL, is_current, service_digest
from bateau.control.naming import service_named
from bateau.control.outside import Ports
from bateau.control.path import Written
from bateau.domain.errors import BateauError, ControlError
from bateau.domain.release import Release
from bateau.domain.revision import Revision
from bateau.domain.workload import Workload
from bateau.kit.json_value import Json, JsonObject, ReadObject, object_at, text_at
from bateau.ports.revisions import Revisions

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Hold:
    """One service, held at the content of `revision`. `over` is the digest of the spec that was rolled back."""

    revision: int
    over: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RolledBack:
    """One service, before the rollback and as it is held now."""

    before: Workload
    after: Workload
    revision: Revision


class Rollbacks:
    """The services that are held. `understand` reads the texts of a revision in the same way as the current ones.

    Holds are kept by environment, because an instance may serve another environment later.
    """

    def __init__(self, ports: Ports, understand: Callable[[Mapping[str, str]], Awaitable[Written]]) -> None:
        self._revisions = ports.revisions
        self._no_history = ports.no_history or "this control plane keeps no history"
        self._environment = ports.environment or LOCAL
        self._understand = understand
        self._holds: dict[str, Hold] = {}
        self.not_held: dict[str, str] = {}  # why a service of the last release cannot be held
        self._elsewhere: JsonObject = {}  # the stored holds of other environments, unchanged
        self._services: dict[tuple[str, int], Workload] = {}

    @property
    def pins(self) -> Mapping[str, int]:
        """The revision that each held service is held at."""
        return {key: hold.revision for key, hold in self._holds.items() if key not in self.not_held}

    def remember(self, tree: object) -> None:
        """Restore the holds from the tree that `remembered` gave to an earlier control plane."""
        self._elsewhere = dict(object_at(tree))
        self._holds = dict(self.remembered_in(tree, self._environment))
        self._elsewhere.pop(self._environment, None)

    async def bring_up_to_date(self, known: Release) -> None:
        """Replace digests of an earlier format by one of the current format, of the service as it was last released.

        `known` is the release of the stored texts. It is used if the history does not have the service.
        """
        for key, hold in list(self._holds.items()):
            if is_current(hold.over):
                continue
            written = await self._last_written(key) or next((one for one in known.services if one.key == key), None)
            if written:
                self._holds[key] = replace(hold, over=service_digest(written))
            else:
                logger.error("%s cannot be held at revision %d: its last spec cannot be read", key, hold.revision)

    async def _last_written(self, key: str) -> Workload | None:
        """Return a service as specified in the newest revision, or None if that cannot be read."""
        if self._revisions is None:
            return None
        try:
            latest = next(iter(self._revisions.history(self._environment, service=key, limit=1)), None)
            return await self._service(key, latest.id) if latest else None
        except BateauError as error:
            logger.warning("the last revision of %s cannot be read: %s", key, error.message)
            return None

    @staticmethod
    def remembered_in(tree: object, environment: str | None) -> Mapping[str, Hold]:
        """Return the holds of an environment in a tree from `remembered`. A damaged tree is logged, and has none."""
        entries = object_at(tree).get(environment or LOCAL, {})
        holds = {key: _hold(each) for key, each in object_at(entries).items()}
        sound = {key: hold for key, hold in holds.items() if hold}
        if not isinstance(entries, dict) or len(sound) < len(holds):
            logger.error("the rollbacks in %s cannot be read: all services run as specified", environment or LOCAL)
            return {}
        return sound

    def remembered(self) -> ReadObject:
        """Return the holds as plain values, by environment."""
        ours = {key: {"revision": hold.revision, "over": hold.over} for key, hold in self._holds.items()}
        return {**self._elsewhere, self._environment: ours}

    def end_for(self, release: Release) -> None:
        """End the holds of services whose spec has changed in `release`, or was deleted."""
        kept = self._lasting(release)
        for key in self._holds.keys() - kept.keys():
            logger.info("the spec of %s changed: its rollback to revision %d ends", key, self._holds[key].revision)
        self._holds = kept

    async def held(self, release: Release) -> Release:
        """Return the release, with each held service replaced by the one of its revision."""
        written: dict[str, Workload] = {service.key: service for service in release.services}
        self.not_held = {}
        for key, hold in self._lasting(release).items():
            try:
                written[key] = await self._service(key, hold.revision)
            except BateauError as error:
                logger.error("%s cannot be held at revision %d: %s", key, hold.revision, error.message)
                self.not_held[key] = error.message
        return replace(release, services=tuple(written.values()))

    async def back(self, service: str, written: Release, running: Release, *, to: int | None) -> RolledBack:
        """Hold `service` at revision `to`, or at the last healthy one in which it differed. Raises ControlError."""
        if self._revisions is None:
            raise ControlError(f"{self._no_history}, so there is no revision to roll back to")
        before = service_named(service, running)
        wanted = await self._target(self._revisions, before, to)
        after = await self._service(before.key, wanted.pins.get(before.key, wanted.id))
        if service_digest(after) == service_digest(before):
            raise ControlError(f"{before.key} is the same in revision {wanted.id}: there is nothing to roll back")
        over = service_digest(service_named(before.key, written))
        if over == service_digest(after):
            self._holds.pop(before.key, None)  # the current spec is the wanted one, so no hold is needed
        else:
            self._holds[before.key] = Hold(wanted.pins.get(before.key, wanted.id), over)
        return RolledBack(before=before, after=after, revision=wanted)

    def _lasting(self, release: Release) -> dict[str, Hold]:
        digests: dict[str, str] = {
            service.key: service_digest(service) for service in release.services if service.key in self._holds
        }
        return {key: hold for key, hold in self._holds.items() if digests.get(key) == hold.over}

    async def _target(self, revisions: Revisions, service: Workload, to: int | None) -> Revision:
        hint = f"`bateau history --service {service.key}` lists them"
        if to is not None:
            found = revisions.get(to)
            if found is None or found.environment != self._environment or service.key not in found.services:
                raise ControlError(f"there is no revision {to} of {self._environment} with {service.key}", hint=hint)
            return found
        latest = next(iter(revisions.history(self._environment, service=service.key, limit=1)), None)
        # A service that is held already goes further back, never forward to a revision that was rolled back.
        before = latest.pins.get(service.key, latest.id) if latest else None
        found = revisions.last_healthy(self._environment, service=service.key, before=before) if latest else None
        while found and await self._is_still(service, found):
            found = revisions.last_healthy(self._environment, service=service.key, before=found.id)
        if found is None:
            raise ControlError(f"there is no earlier healthy revision in which {service.key} differs", hint=hint)
        return found

    async def _is_still(self, service: Workload, revision: Revision) -> bool:
        """Whether a service is the same in a revision as now, although the recorded digest may differ."""
        try:
            then = await self._service(service.key, revision.pins.get(service.key, revision.id))
        except BateauError:
            return False  # `back` reports why it cannot be read
        return service_digest(then) == service_digest(service)

    async def _service(self, key: str, revision: int) -> Workload:
        """Return a service as specified in a revision. Raises ControlError."""
        if (key, revision) not in self._services:
            if self._revisions is None:
                raise ControlError(self._no_history)
            written = await self._understand(self._revisions.content(revision))
            found = next((each for each in written.release.services if each.key == key), None)
            forbids = next((f for f in written.findings if f.subject == key and f.verdict == "error"), None)
            if forbids:
                raise ControlError(f"revision {revision} of {key} is forbidden by {forbids.rule}: {forbids.says}")
            if found is None:
                raise ControlError(f"this version cannot read {key} in revision {revision}")
            self._services[key, revision] = found
        return self._services[key, revision]


def _hold(tree: Json) -> Hold | None:
    """Return a hold from its plain form; None if that is damaged."""
    revision, over = object_at(tree).get("revision"), text_at(tree, "over")
    return Hold(revision, over) if isinstance(revision, int) and over else None
