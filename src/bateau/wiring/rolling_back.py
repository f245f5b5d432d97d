"""Hold services of a cluster at an earlier commit, and record the revisions that are applied there.

Called by wiring.clusters.

Invariant: if the commit of a hold cannot be read, nothing is applied: a rolled back service would roll forward. Held by
tests/wiring/test_rolling_back.py.
"""

import asyncio
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from bateau.control.deliveries import Deliveries, digests_of, read, written
from bateau.control.delivery import Rendered
from bateau.control.destinations import Destination
from bateau.domain.errors import ClusterError, ControlError, SourceError
from bateau.domain.finding import Finding
from bateau.domain.problem import Problem
from bateau.domain.revision import Event, Outcome, Revision
from bateau.runtimes.kubernetes import ApiServer
from bateau.runtimes.kubernetes.history import change_history, read_history
from bateau.wiring.applying import commit_holding
from bateau.wiring.delivery import rendered_at
from bateau.wiring.question import Question
from bateau.wiring.this_process import user


@dataclass(frozen=True, kw_only=True)
class Held:
    """The specs with each held service as in its revision. `says` names the holds, `pins` their revisions.

    `problems` are the holds that cannot be kept.
    """

    made: Rendered
    says: tuple[str, ...] = ()
    pins: Mapping[str, int] = field(default_factory=dict[str, int])
    problems: tuple[Problem, ...] = ()


@dataclass(frozen=True, slots=True)
class ClusterHistory:
    """The history of one owner on one cluster."""

    api: ApiServer
    owner: str
    place: Destination
    environment: str

    async def read(self) -> Deliveries:
        """Return the history; an empty one if nothing was applied. Raises ClusterError."""
        texts = await read_history(self.api, owner=self.owner, namespace=self.place.namespace)
        return Deliveries() if texts is None else read(texts, self.environment)

    async def note(self, event: Event, *, added: Revision | None = None, holds: Deliveries | None = None) -> str | None:
        """Add a revision and an event of the newest one, and take the holds of `holds`.

        Returns why it could not be written: running services do not wait for the history.
        """

        def change(texts: Mapping[str, str] | None) -> Mapping[str, str]:
            now = Deliveries() if texts is None else read(texts, self.environment)
            now = replace(now, holds=holds.holds) if holds else now
            if added:  # a hold that has ended does not come back with an old spec
                now = replace(now, holds=now.lasting(added.services)).added(added)
            return written(now.marked(event))

        try:
            await change_history(self.api, change, owner=self.owner, namespace=self.place.namespace)
        except ClusterError as error:
            return f"the history cannot be written: {error.message}"
        return None


def with_holds(question: Question, made: Rendered, deliveries: Deliveries) -> Held:
    """Return the specs with the services that a rollback holds as they were in their revisions."""
    found = Held(made=made)
    if not deliveries.holds:
        return found
    for key, hold in sorted(deliveries.lasting(digests_of(made)).items()):
        revision = deliveries.revision(hold.revision)
        commit = (revision and revision.commit) or ""
        try:
            then = service_at(question, key, commit)
        except (SourceError, ControlError) as error:
            says = f"{key} is rolled back to revision {hold.revision}, which cannot be read: {error.message}"
            hint = "fetch the commit, such as with `git fetch --unshallow`; or change the spec, which ends the rollback"
            found = replace(found, problems=(*found.problems, Problem(where=None, says=says, hint=hint)))
            continue
        says = f"{key} is rolled back to revision {hold.revision}, commit {commit[:12]}, until its spec changes"
        found = replace(
            found,
            made=_replaced(found.made, key, then),
            says=(*found.says, says),
            pins={**found.pins, key: hold.revision},
        )
    return found


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


def _replaced(made: Rendered, key: str, then: Rendered) -> Rendered:
    """Return a rendering with one service, and the findings about it, from another one."""
    return replace(
        made,
        manifests=(
            *(each for each in made.manifests if each.service != key),
            *(each for each in then.manifests if each.service == key),
        ),
        unrendered=_without(made.unrendered, key),
        unsound=_without(made.unsound, key),
        judged=_without(made.judged, key),
    )


def _without(findings: Iterable[Finding], service: str) -> tuple[Finding, ...]:
    return tuple(each for each in findings if service not in (each.service, each.subject))


async def revision_of(question: Question, made: Rendered, pins: Mapping[str, int]) -> Revision:
    """Return the desired state as a revision; its number comes with the history."""
    other = any(each.brings_documents for each in made.written.release.services)
    commit = await asyncio.to_thread(commit_holding, question.directory, made.texts, other_files=other)
    return Revision(
        id=0,
        environment=question.environment or "",
        digest="",
        services=digests_of(made),
        who=user(),
        when_s=time.time(),
        commit=commit,
        outcome="applied",
        pins=pins,
    )


def event(says: str, outcome: Outcome | None) -> Event:
    """Return an event of now."""
    return Event(when_s=time.time(), says=says, outcome=outcome)
