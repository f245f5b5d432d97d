"""What shall run: what was written last without mistakes, with the services that a rollback holds.

Called by control.loop and wiring.local.

Invariant: a mistake in what is written changes nothing that runs; one that was made while no control plane looked, or
that only a newer version sees, neither. Where what ran can no longer be read, `known` is False until something can.
Invariant: what a policy forbids by now, and did not when it was taken up, goes on.
"""

import asyncio
import hashlib
import logging
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, cast

from bateau.control.history import History
from bateau.control.outside import Ports
from bateau.control.path import Written
from bateau.control.restarts import Restarted, Restarts
from bateau.control.rollback import Rollbacks, RolledBack
from bateau.domain.errors import BateauError, ControlError
from bateau.domain.release import Release

logger = logging.getLogger(__name__)


def texts_digest(texts: Mapping[str, str]) -> str:
    """Return a digest of texts, whatever their order."""
    whole = "\0".join(f"{len(name)} {name}{texts[name]}" for name in sorted(texts))
    return hashlib.sha256(whole.encode("utf-8", "surrogatepass")).hexdigest()[:16]


class DesiredState:
    """The release that shall run. `on_change` is called whenever another is taken up."""

    def __init__(self, ports: Ports, on_change: Callable[[], None]) -> None:
        self._ports = ports
        self._on_change = on_change
        self._rollbacks = Rollbacks(ports, self.understood)
        self._restarts = Restarts(ports.environment)
        self._changing = asyncio.Lock()
        self._texts: Mapping[str, str] = {}  # those of `written`
        self._good: Written | None = None  # what was written last without mistakes
        self._good_texts: Mapping[str, str] = {}
        self._kept = True  # whether the next control plane would know all of it
        self.history = History(ports.revisions, ports.clock, who=ports.who)
        self.stale = True  # the specs may have changed since they were read
        self.read_once = False  # whether they were read at all
        self.read_at = ports.clock.monotonic()
        self.written: Written | None = None
        self.written_digest: str | None = None  # of the texts that were read last
        self.release = Release()

    @property
    def known(self) -> bool:
        """Whether anything that could be read says what shall run."""
        return self._good is not None

    @property
    def taken_up(self) -> bool:
        """Whether what shall run is what is written now."""
        return self.known and self.written is self._good and not self.stale and not self._changing.locked()

    @property
    def held(self) -> Mapping[str, int]:
        """The services that a rollback holds, with the revision that each is taken from."""
        return self._rollbacks.pins

    @property
    def not_held(self) -> Mapping[str, str]:
        """The services that a rollback should hold and cannot, and why."""
        return self._rollbacks.not_held

    async def understood(self, texts: Mapping[str, str]) -> Written:
        """Return what texts say for the environment of this control plane, today."""
        today = datetime.fromtimestamp(self._ports.clock.wall(), tz=UTC).date()
        return await self._ports.reader.understood(texts, today=today)

    async def instead(self, texts: Mapping[str, str]) -> tuple[Written, Release]:
        """Return what other texts say, and what would run then."""
        written = await self.understood(texts)
        return written, await self._with_operations(written.release)

    async def remember(self) -> None:
        """Take up what the last control plane knew, so that a mistake made since does not undo what runs."""
        remembered = self._ports.memory.load()
        self._rollbacks.remember(remembered.get("rollbacks"))
        self._restarts.remember(remembered.get("restarts", {}))
        texts: Any = remembered.get("texts")
        plain = cast("dict[str, Any]", texts) if isinstance(texts, dict) else {}
        known = {str(name): str(text) for name, text in plain.items()}
        last_good = await self.understood(known)
        await self._rollbacks.bring_up_to_date(last_good.release)
        if isinstance(texts, dict) and not last_good.mistaken:
            self._good, self._good_texts = last_good, known
            self.release = await self._with_operations(last_good.release)

    def forget(self) -> None:
        """Have the next control plane start without remembered specs; rolled-back services stay so."""
        remembered = self._ports.memory.load()
        self._ports.memory.save({key: value for key, value in remembered.items() if key != "texts"})

    async def read(self) -> None:
        """Read the specs, and apply them where they have no errors. Raises BateauError.

        That is raised where they cannot be read, or the new state cannot be remembered.
        """
        async with self._changing:
            self.read_at = self._ports.clock.monotonic()
            self.stale = False
            texts = await self._ports.reader.read(self._ports.texts)
            if self.written is None or texts != self._texts:
                written = await self.understood(texts)
                self.written, self._texts = written, texts
                self.written_digest = texts_digest(texts)
                if not written.wrong:
                    self._good, self._good_texts = written, texts
                    await self._take_up(written)
            self.read_once = True
            self.keep()

    async def rollback(self, service: str, *, to: int | None = None) -> RolledBack:
        """Hold a service at revision `to`, or at the last healthy one in which it was another. Raises ControlError.

        It lasts until something else is written for the service.
        """
        async with self._changing:
            if self._good is None:
                raise ControlError("nothing runs yet that could be rolled back")
            made = await self._rollbacks.back(service, self._good.release, self.release, to=to)
            says = f"{made.before.key} goes back to revision {made.revision.id}, as {self._ports.who} asked"
            self.history.note_rolled_back(self.release.environment, says)
            logger.info("%s", says)
            await self._take_up(self._good, says)
            try:
                self.keep()
            except BateauError as error:
                logger.error("%s; that is tried again", error.message)
                self.stale = True
            return made

    async def restart(self, service: str) -> Restarted:
        """Replace every replica of a service, one after another. Raises ControlError.

        Nothing is restarted if that cannot be remembered: the next control plane would revert it.
        """
        async with self._changing:
            if self._good is None:
                raise ControlError("nothing runs yet that could be restarted")
            before = self._restarts.remembered()
            made = self._restarts.restart(service, self.release, when_s=self._ports.clock.wall())
            self._kept = False
            try:
                self.keep()
            except BateauError:
                self._restarts.remember(before)
                raise
            self.history.note_restarted(
                self.release.environment, f"{made.service} is restarted, as {self._ports.who} asked"
            )
            self.release = await self._with_operations(self._good.release)
            self._on_change()
            return made

    def keep(self) -> None:
        """Remember it for the next control plane, unless that was done. Raises BateauError where the disk is full."""
        if not self._kept:
            kept = {
                "texts": dict(self._good_texts),
                "rollbacks": self._rollbacks.remembered(),
                "restarts": self._restarts.remembered(),
            }
            self._ports.memory.save({**self._ports.memory.load(), **kept})
            self._kept = True

    async def _take_up(self, good: Written, says: str | None = None) -> None:
        """Make what is written, with what a rollback holds, what shall run."""
        self._rollbacks.end_for(good.release)
        self._restarts.keep(good.release)
        self.release = await self._with_operations(good.release)
        self._on_change()
        self.history.take(self.release, self._good_texts, commit=self._ports.texts.commit_id, pins=self.held, says=says)
        self._kept = False

    async def _with_operations(self, release: Release) -> Release:
        """Return a release with what operators asked for: the services that are held, and those that were restarted."""
        return self._restarts.applied(await self._rollbacks.held(release))
