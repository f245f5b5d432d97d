"""Hold the desired state: the last specs without errors, with the services that a rollback holds.

Called by control.loop and wiring.local.

Invariant: an error in the specs changes no running service, even if it was made while no control plane ran, or if only
a newer version of Bateau reports it. If the last good specs can no longer be read, `known` is False until some can.
Held by tests/control/test_texts.py.
Invariant: a service that was applied before a policy forbade it continues to run. Held by
tests/control/test_texts.py::test_an_expired_policy_exception_stops_no_replica_after_a_restart.
"""

import asyncio
import hashlib
import logging
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime

from bateau.control.history import History
from bateau.control.outside import Ports
from bateau.control.path import Written
from bateau.control.reading import Reader
from bateau.control.restarts import Restarted, Restarts
from bateau.control.rollback import Rollbacks, RolledBack
from bateau.control.saving import Saving
from bateau.domain.api_key import ApiKey
from bateau.domain.errors import ControlError
from bateau.domain.release import Release
from bateau.kit.json_value import object_at

logger = logging.getLogger(__name__)


def texts_digest(texts: Mapping[str, str]) -> str:
    """Return a digest of texts that does not depend on their order."""
    whole = "\0".join(f"{len(name)} {name}{texts[name]}" for name in sorted(texts))
    return hashlib.sha256(whole.encode("utf-8", "surrogatepass")).hexdigest()[:16]


class DesiredState:
    """The release that should run. `on_change` is called whenever a different release is applied.

    `keys` are the API keys of the last specs without errors. It is None until this control plane has read some: the
    stored texts may be older than the keys that are in force.
    """

    def __init__(self, ports: Ports, saving: Saving, on_change: Callable[[], None]) -> None:
        self._ports = ports
        self._saving = saving
        self._on_change = on_change
        self._rollbacks = Rollbacks(ports, self.understood)
        self._restarts = Restarts(ports.environment)
        self._changing = asyncio.Lock()
        self._texts: Mapping[str, str] = {}  # the texts of `written`
        self._good: Written | None = None  # the last specs without errors
        self._good_texts: Mapping[str, str] = {}
        self._expected: tuple[str, str] | None = None  # a digest of texts, and the person who writes them
        self.history = History(ports.revisions, ports.clock, who=ports.who, events=ports.events)
        self.stale = True  # whether the specs may have changed since they were read
        self.read_once = False  # whether the specs were read at all
        self.read_at = ports.clock.monotonic()
        self.written: Written | None = None
        self.written_digest: str | None = None  # digest of the texts that were read last
        self.release = Release()
        self.keys: Sequence[ApiKey] | None = None

    @property
    def known(self) -> bool:
        """Whether any readable specs describe the desired state."""
        return self._good is not None

    @property
    def accepted(self) -> bool:
        """Whether the desired state is that of the current specs."""
        return self.known and self.written is self._good and not self.stale and not self._changing.locked()

    @property
    def texts(self) -> Mapping[str, str]:
        """The texts that were read last, with or without errors."""
        return self._texts

    @property
    def held(self) -> Mapping[str, int]:
        """The services that a rollback holds, each with the revision that it is held at."""
        return self._rollbacks.pins

    @property
    def not_held(self) -> Mapping[str, str]:
        """The services that a rollback should hold but cannot, each with the reason."""
        return self._rollbacks.not_held

    async def understood(self, texts: Mapping[str, str], reader: Reader | None = None) -> Written:
        """Return the specs in these texts for the environment of this control plane, as of today."""
        today = datetime.fromtimestamp(self._ports.clock.wall(), tz=UTC).date()
        return await (reader or self._ports.reader).understood(texts, today=today)

    async def instead(self, texts: Mapping[str, str], reader: Reader | None = None) -> tuple[Written, Release]:
        """Return the specs in other texts, and the release that would run with them."""
        written = await self.understood(texts, reader)
        return written, await self._with_operations(written.release)

    async def remember(self) -> None:
        """Restore the desired state of the previous control plane. A later error in the specs then undoes nothing."""
        remembered = self._saving.load()
        self._rollbacks.remember(remembered.get("rollbacks"))
        self._restarts.remember(remembered.get("restarts", {}))
        texts = remembered.get("texts")
        known = {name: str(text) for name, text in object_at(texts).items()}
        last_good = await self.understood(known)
        await self._rollbacks.bring_up_to_date(last_good.release)
        if isinstance(texts, dict) and not last_good.mistaken:
            self._good, self._good_texts = last_good, known
            self.release = await self._with_operations(last_good.release)

    def forget(self) -> None:
        """Remove the stored specs, so that the next control plane starts without them. Rollbacks stay stored."""
        self._saving.drop("texts")

    def expect(self, texts: Mapping[str, str], *, who: str) -> None:
        """Record `who` as the author of the revision with these texts, which are about to be written."""
        self._expected = (texts_digest(texts), who)

    def _author(self) -> str | None:
        digest, who = self._expected or ("", "")
        return who if digest == self.written_digest else None

    async def read(self) -> None:
        """Read the specs, and apply them if they have no errors. Raises BateauError if they cannot be read."""
        async with self._changing:
            self.read_at = self._ports.clock.monotonic()
            self.stale = False
            texts = await self._ports.reader.read(self._ports.texts)
            if self.written is None or texts != self._texts:
                written = await self.understood(texts)
                self.written, self._texts = written, texts
                self.written_digest = texts_digest(texts)
                if not written.wrong:
                    self._good, self._good_texts, self.keys = written, texts, written.keys
                    await self._take_up(written, who=self._author())
            self.read_once = True

    async def rollback(self, service: str, *, to: int | None = None, who: str | None = None) -> RolledBack:
        """Hold a service at revision `to`, or at the last healthy revision in which it differed.

        The hold ends when the spec of the service changes. Without `who`, the user of this machine asks for it. Raises
        ControlError if the service cannot be held.
        """
        async with self._changing:
            if self._good is None:
                raise ControlError("there is nothing to roll back yet: no service runs")
            made = await self._rollbacks.back(service, self._good.release, self.release, to=to)
            who = who or self._ports.who
            says = f"{who} rolled {made.before.key} back to revision {made.revision.id}"
            self.history.note_rolled_back(self.release.environment, made.before.key, says, who=who)
            logger.info("%s", says)
            await self._take_up(self._good, says, who=who)
            return made

    async def restart(self, service: str, *, who: str | None = None) -> Restarted:
        """Replace every replica of a service, one after another, for `who`. Raises ControlError.

        Nothing is restarted if the restart cannot be stored, because the next control plane would revert it.
        """
        async with self._changing:
            if self._good is None:
                raise ControlError("there is nothing to restart yet: no service runs")
            before = self._restarts.remembered()
            made = self._restarts.restart(service, self.release, when_s=self._ports.clock.wall())
            self._save()
            if self._saving.trouble:
                self._restarts.remember(before)
                self._save()
                raise ControlError(f"{made.service} was not restarted: {self._saving.trouble}")
            who = who or self._ports.who
            says = f"{who} restarted {made.service}"
            self.history.note_restarted(self.release.environment, made.service, says, who=who)
            self.release = await self._with_operations(self._good.release)
            self._on_change()
            return made

    async def _take_up(self, good: Written, says: str | None = None, *, who: str | None) -> None:
        """Make the specs, overlaid by the services that a rollback holds, the desired state.

        Without `who`, the user of this machine has changed them.
        """
        self._rollbacks.end_for(good.release)
        self._restarts.keep(good.release)
        self.release = await self._with_operations(good.release)
        self._on_change()
        commit = self._ports.texts.commit_id
        self.history.take(self.release, self._good_texts, commit=commit, pins=self.held, says=says, who=who)
        self._save()

    def _save(self) -> None:
        """Save the desired state for the next control plane."""
        self._saving.save(
            {
                "texts": dict(self._good_texts),
                "rollbacks": self._rollbacks.remembered(),
                "restarts": self._restarts.remembered(),
            }
        )

    async def _with_operations(self, release: Release) -> Release:
        """Return a release with the operators' requests applied: held services and restarts."""
        return self._restarts.applied(await self._rollbacks.held(release))
