"""Read and write the history of an environment on a cluster, and render its services as they were in a commit.

Called by wiring.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, replace

from bateau.control.deliveries import Deliveries, digests_of, read, written
from bateau.control.delivery import Rendered
from bateau.domain.errors import ClusterError, ControlError
from bateau.domain.revision import Event, Outcome, Revision
from bateau.runtimes.kubernetes import ApiServer
from bateau.runtimes.kubernetes.history import change_history, read_history
from bateau.wiring.applying import commit_holding
from bateau.wiring.delivery import rendered_at
from bateau.wiring.question import Question
from bateau.wiring.this_process import user


@dataclass(frozen=True, slots=True)
class ClusterHistory:
    """The history of one owner on one cluster."""

    api: ApiServer
    owner: str
    namespace: str
    environment: str

    async def read(self) -> Deliveries:
        """Return the history; an empty one if nothing was applied. Raises ClusterError."""
        texts = await read_history(self.api, owner=self.owner, namespace=self.namespace)
        return Deliveries() if texts is None else read(texts, self.environment)

    def now_s(self) -> float:
        """Return the time by the clock of the API server: those of the people who apply may differ by hours."""
        return self.api.requests.now().timestamp()

    async def note(self, event: Event, *, added: Revision | None = None, holds: Deliveries | None = None) -> str | None:
        """Add a revision and an event of the newest one, and take the holds of `holds`. The event gets the time of now.

        A revision without a time gets it, too.
        Returns why it could not be written: running services do not wait for the history.
        """

        def change(texts: Mapping[str, str] | None) -> Mapping[str, str]:
            now = Deliveries() if texts is None else read(texts, self.environment)
            now = replace(now, holds=holds.holds) if holds else now
            if added:  # a hold that has ended does not come back with an old spec
                now = replace(now, holds=now.lasting(added.services)).added(added)
            return written(now.marked(event))

        now_s = self.now_s()
        event = replace(event, when_s=now_s)
        added = replace(added, when_s=added.when_s or now_s) if added else None
        try:
            await change_history(self.api, change, owner=self.owner, namespace=self.namespace)
        except ClusterError as error:
            return f"the history cannot be written: {error.message}"
        return None


def service_at(question: Question, key: str, commit: str) -> Rendered:
    """Return the rendering of a commit, for one service. Raises ControlError and the SourceError family."""
    if not commit:
        raise ControlError("its commit is not known")
    then = rendered_at(question, commit)
    if not any(each.service == key for each in then.manifests):
        problem = next(iter(then.written.problems), None)
        raise ControlError(f"{key} has no objects in commit {commit[:12]}" + (f": {problem.says}" if problem else ""))
    about = (each for each in then.findings if key in (each.service, each.subject))
    forbids = next((each for each in about if each.verdict == "error"), None)
    if forbids:
        raise ControlError(f"commit {commit[:12]} of {key} is forbidden by {forbids.rule}: {forbids.says}")
    return then


async def revision_of(question: Question, made: Rendered, pins: Mapping[str, int], *, when_s: float) -> Revision:
    """Return the desired state at a time as a revision; its number comes with the history."""
    other = any(each.brings_documents for each in made.written.release.services)
    commit = await asyncio.to_thread(commit_holding, question.directory, made.texts, other_files=other)
    return Revision(
        id=0,
        environment=question.environment or "",
        digest="",
        services=digests_of(made),
        who=user(),
        when_s=when_s,
        commit=commit,
        outcome="applied",
        pins=pins,
    )


def event(says: str, outcome: Outcome | None) -> Event:
    """Return an event, whose time comes with the history."""
    return Event(when_s=0.0, says=says, outcome=outcome)
