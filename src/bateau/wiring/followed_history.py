"""Keep the rollbacks of an environment that a controller follows, and record the commits that it has applied.

Called by wiring.controller and wiring.following.

Invariant: a rolled back service stays as it is from the moment at which the rollback is written, until its spec
changes. Held by tests/wiring/test_controller.py::test_a_rollback_is_kept_by_a_controller_that_follows_the_repository.
"""

import asyncio
import contextlib
import logging
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from time import monotonic
from typing import Final, Protocol

from bateau.control.declared import Declared
from bateau.control.deliveries import Deliveries, read
from bateau.control.reconciler import Reconciler
from bateau.control.rollout import PATIENCE_S, troubles_of
from bateau.domain.errors import BateauError
from bateau.domain.revision import Outcome, Revision
from bateau.kit.latest import Latest
from bateau.ports.runtime import Observed
from bateau.runtimes.kubernetes.history import watched_history
from bateau.wiring.rolling_back import ClusterHistory, event

logger = logging.getLogger(__name__)

_WHO: Final = "bateau-controller"
_LOOK_S: Final = 10.0  # how often a commit that does not become healthy is checked without news
# The outcome of a commit only rises: one that was healthy stays so in the history, also if a replica fails later.
_RANKS: Final[Mapping[Outcome, int]] = {"applied": 0, "failed": 1, "healthy": 2}


class Source(Protocol):
    """The source of a followed environment: a repository, or a bundle."""

    async def declare(self, texts: Mapping[str, str], deliveries: Deliveries, /) -> Declared:
        """Declare the environment, with the services that a rollback holds. Raises BateauError."""
        ...


class FollowedHistory:
    """The history on the cluster of one followed environment."""

    def __init__(self, history: ClusterHistory, source: Source, *, patience_s: float = PATIENCE_S) -> None:
        """Keep a history. A commit has failed once there is trouble for `patience_s` seconds."""
        self._history = history
        self._source = source
        self._patience_s = patience_s
        self._news = asyncio.Event()
        self._watched = watched_history(
            history.api, owner=history.owner, namespace=history.namespace, changed=self._news.set
        )
        self._holds: frozenset[tuple[str, int]] = frozenset()  # that were declared last
        self._heeded = self._holds  # that were seen last
        self._read = Latest[frozenset[tuple[str, int]]]()
        self._recorded: Revision | None = None
        self._troubled_since: float | None = None
        self._unknown: str | None = None  # why the state of the cluster is not known, as it was logged

    def wake(self) -> None:
        """Look at the state of the cluster soon."""
        self._news.set()

    async def declare(self, texts: Mapping[str, str]) -> Declared:
        """Declare the environment, with the services that a rollback holds. Raises BateauError.

        While the history cannot be read, it is not known what a rollback holds, and nothing is declared.
        """
        deliveries = await self._history.read()
        self._holds = _holds(deliveries)
        return await self._source.declare(texts, deliveries)

    async def run(self, reconciler: Reconciler) -> None:
        """Watch the history, and record each commit once it is applied, until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._watched.run(), name="watch the history")
            tasks.create_task(self._keep(reconciler), name="keep the history")

    async def _keep(self, reconciler: Reconciler) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(min(_LOOK_S, self._patience_s)):
                    await self._news.wait()
            self._news.clear()
            unknown = reconciler.observed.unknown
            if unknown and unknown != self._unknown:  # such as an inventory of another repository
                logger.error("%s: nothing is applied: %s", reconciler.name, unknown)
            self._unknown = unknown
            try:
                if not self._heed(reconciler):
                    await self._record(reconciler)
            except BateauError as error:
                logger.warning("%s", error.message)

    def _heed(self, reconciler: Reconciler) -> bool:
        """Leave services alone whose rollback has begun or ended since they were declared; return whether any has.

        The next turn applies the right commit.
        """
        for texts in self._watched.items.values():
            holds = self._read.of(partial(self._holds_in, texts), same=(texts,))
            if changed := holds ^ self._holds:
                if holds != self._heeded:
                    reconciler.leave({key for key, _ in changed})
                self._heeded = holds
                return True
        return False

    def _holds_in(self, texts: Mapping[str, str]) -> frozenset[tuple[str, int]]:
        return _holds(read(texts, self._history.environment))

    async def _record(self, reconciler: Reconciler) -> None:
        """Record the declared commit, as applied first, and as healthy or failed once that is known."""
        declared = reconciler.declared
        if declared is None or declared.wrong is not None:
            return
        made = Revision(
            id=0,
            environment=self._history.environment,
            digest="",
            services=declared.digests,
            who=_WHO,
            when_s=0.0,
            commit=declared.commit,
            outcome="applied",
            pins=declared.pins,
        )
        known = self._recorded
        is_new = known is None or replace(known, outcome="applied") != made
        if is_new:
            self._troubled_since = None
        elif known and known.outcome == "healthy":
            return  # the usual case: the state of all objects does not have to be judged
        outcome, says = self._outcome(reconciler.observed)
        if known and not is_new and _RANKS[outcome] <= _RANKS[known.outcome]:
            return
        made = replace(made, outcome=outcome)
        remark = await self._history.note(event(says, outcome), added=made)
        if remark:
            logger.warning("%s", remark)
        else:
            self._recorded = made

    def _outcome(self, seen: Observed) -> tuple[Outcome, str]:
        """Return how the declared commit fares, in one word and in one sentence."""
        troubles, now = troubles_of(seen), monotonic()
        self._troubled_since = (self._troubled_since or now) if troubles else None
        if seen.unknown is None and not seen.moving and not troubles:
            return "healthy", "every service is healthy"
        if self._troubled_since is not None and now - self._troubled_since >= self._patience_s:
            return "failed", "; ".join(f"{key}: {says}" for key, says in sorted(troubles.items())[:3])
        return "applied", "the controller applies it"


def _holds(deliveries: Deliveries) -> frozenset[tuple[str, int]]:
    return frozenset((key, hold.revision) for key, hold in deliveries.holds.items())
