"""The history of an environment on one cluster: what was applied, when, by whom, and which services are rolled back.

Called by cli.cluster_history, control.bundled, control.declared, control.holding and wiring. Pure: the cluster keeps
the text.

Invariant: the text is bounded: it has at most REVISIONS_MAX revisions and BYTES_MAX bytes, and the newest stay. Held by
tests/control/test_deliveries.py.
Invariant: a rollback never returns to a revision that was rolled back, and a hold lasts until the spec of its service
changes. Held by tests/control/test_deliveries.py.
Refused: storing specs or objects on the cluster. A revision names the commit that has them, so that no secret is copied
and an account that may only read can plan.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Final, get_args

from bateau.control.delivery import Rendered
from bateau.control.digests import digest_of
from bateau.control.rollback import Hold
from bateau.domain.errors import ClusterError, ControlError
from bateau.domain.manifest import Manifest
from bateau.domain.revision import Event, Outcome, Revision
from bateau.domain.workload import Workload
from bateau.kit.json_value import (
    Json,
    JsonObject,
    ReadObject,
    array_at,
    is_object,
    named_texts_at,
    object_at,
    text_at,
    texts_at,
)

FORMAT: Final = "1"
REVISIONS_MAX: Final = 50
BYTES_MAX: Final = 900_000  # a ConfigMap takes 1 MiB
_EVENTS_MAX: Final = 10


@dataclass(frozen=True, kw_only=True)
class Deliveries:
    """The revisions, oldest first, and the services that a rollback holds."""

    revisions: tuple[Revision, ...] = ()
    holds: Mapping[str, Hold] = field(default_factory=dict[str, Hold])

    @property
    def latest(self) -> Revision | None:
        """The newest revision."""
        return self.revisions[-1] if self.revisions else None

    def revision(self, number: int) -> Revision | None:
        """Return a revision by its number."""
        return next((each for each in self.revisions if each.id == number), None)

    def added(self, made: Revision) -> "Deliveries":
        """Return the history with a new revision, which gets the next number. An equal one is not repeated."""
        latest = self.latest
        if latest and (latest.commit, latest.services, latest.pins) == (made.commit, made.services, made.pins):
            return self
        numbered = replace(made, id=latest.id + 1 if latest else 1)
        kept = (*self.revisions, numbered)
        used = {hold.revision for hold in self.holds.values()} | set(numbered.pins.values())
        recent = {each.id for each in kept[-REVISIONS_MAX:]}
        return replace(self, revisions=tuple(each for each in kept if each.id in used | recent))

    def marked(self, event: Event) -> "Deliveries":
        """Return the history with an event of the newest revision, and its outcome."""
        if self.latest is None:
            return self
        events = (*self.latest.events, event)[-_EVENTS_MAX:]
        latest = replace(self.latest, events=events, outcome=event.outcome or self.latest.outcome)
        return replace(self, revisions=(*self.revisions[:-1], latest))

    def lasting(self, digests: Mapping[str, str]) -> Mapping[str, Hold]:
        """Return the holds whose services have not changed since the rollback. `digests` are those of the specs."""
        return {key: hold for key, hold in self.holds.items() if digests.get(key) == hold.over}

    def target(self, service: str, digests: Mapping[str, str], *, to: int | None) -> Revision:
        """Return the revision to roll a service back to: `to`, or the last healthy one in which it differed.

        Raises ControlError.
        """
        hint = f"`bateau history --service {service}` with the environment lists them"
        held = self.lasting(digests).get(service)
        if to is not None:
            found = self.revision(to)
            if found is None or service not in found.services:
                raise ControlError(f"there is no revision {to} with {service}", hint=hint)
        else:
            before = held.revision if held else (self.latest.id + 1 if self.latest else 0)
            now = self._running(service, digests, held)
            older = (each for each in reversed(self.revisions) if each.id < before and each.outcome == "healthy")
            found = next((r for r in older if r.services.get(service, now) != now and service not in r.pins), None)
            if found is None:
                raise ControlError(f"there is no earlier healthy revision in which {service} differs", hint=hint)
        if found.commit is None:
            says = f"revision {found.id} was applied from specs that were not committed, so they cannot be read again"
            raise ControlError(says, hint=hint)
        return found

    def _running(self, service: str, digests: Mapping[str, str], held: Hold | None) -> str | None:
        revision = self.revision(held.revision) if held else None
        return revision.services.get(service) if revision else digests.get(service)


def digests_of(rendered: Rendered) -> Mapping[str, str]:
    """Return a digest of each service: of its spec, and of the documents that it brings, without values of secrets."""
    objects: dict[str, list[Manifest]] = {}
    for each in rendered.manifests:
        if each.service is not None:
            objects.setdefault(each.service, []).append(each)
    services: dict[str, Workload] = {each.key: each for each in rendered.written.release.services}
    return {key: digest_of(services.get(key), objects.get(key, ())) for key in sorted(services.keys() | objects.keys())}


def written(deliveries: Deliveries) -> Mapping[str, str]:
    """Return the history as texts by name, as the cluster keeps it. Only the differences of services are stored."""
    revisions = list(deliveries.revisions)
    used = {hold.revision for hold in deliveries.holds.values()}
    text = "\n".join(_lines(revisions))
    while len(text.encode()) > BYTES_MAX and (old := [each for each in revisions[:-1] if each.id not in used]):
        revisions.remove(old[0])
        text = "\n".join(_lines(revisions))
    holds = {key: {"revision": hold.revision, "over": hold.over} for key, hold in sorted(deliveries.holds.items())}
    return {"format": FORMAT, "revisions": text, "holds": json.dumps(holds, sort_keys=True)}


def _lines(revisions: Iterable[Revision]) -> Iterator[str]:
    before: Mapping[str, str] = {}
    for each in revisions:
        told: ReadObject = {
            "id": each.id,
            "whenS": each.when_s,
            "who": each.who,
            "commit": each.commit,
            "outcome": each.outcome,
            "set": {key: digest for key, digest in sorted(each.services.items()) if before.get(key) != digest},
            "gone": sorted(before.keys() - each.services.keys()),
            "pins": dict(each.pins),
            "events": [[event.when_s, event.says, event.outcome] for event in each.events],
        }
        yield json.dumps(told, separators=(",", ":"), ensure_ascii=False)
        before = each.services


def read(texts: Mapping[str, str], environment: str) -> Deliveries:
    """Return the history in texts that `written` made. Raises ClusterError for another format, and damaged texts."""
    if (told := texts.get("format")) != FORMAT:
        says = f"the history on the cluster has format {told or 'unknown'}"
        raise ClusterError(says, hint="a newer Bateau wrote it; use that version")
    revisions: list[Revision] = []
    services: dict[str, str] = {}
    try:
        for line in texts.get("revisions", "").splitlines():
            tree: Json = json.loads(line)
            services = {key: each for key, each in services.items() if key not in texts_at(tree, "gone")}
            services |= named_texts_at(tree, "set")
            revisions.append(_revision(object_at(tree), services, environment))
        holds = object_at(json.loads(texts.get("holds") or "{}"))
    except (ValueError, KeyError, TypeError) as error:
        says = f"the history on the cluster is damaged: {error}"
        raise ClusterError(says, hint="delete its ConfigMap bateau-history-...; the applied objects stay") from error
    return Deliveries(
        revisions=tuple(revisions),
        holds={key: Hold(_integer(each, "revision"), text_at(each, "over")) for key, each in holds.items()},
    )


def _revision(tree: JsonObject, services: Mapping[str, str], environment: str) -> Revision:
    return Revision(
        id=_integer(tree, "id"),
        environment=environment,
        digest="",
        services=services,
        who=text_at(tree, "who"),
        when_s=_seconds(tree["whenS"]),
        commit=text_at(tree, "commit") or None,
        outcome=_outcome(tree["outcome"]) or "applied",
        pins={key: _integer(tree, "pins", key) for key in object_at(tree, "pins")},
        events=tuple(
            Event(when_s=_seconds(each[0]), says=str(each[1]), outcome=_outcome(each[2]))
            for each in array_at(tree, "events")
            if isinstance(each, list)
        ),
    )


def _integer(tree: Json, *path: str) -> int:
    found = object_at(tree, *path[:-1])[path[-1]] if is_object(tree) else None
    if not isinstance(found, int):
        raise TypeError(f"{path[-1]} is not a number")
    return found


def _seconds(value: Json) -> float:
    return float(value) if isinstance(value, int | float) else 0.0


def _outcome(value: Json) -> Outcome | None:
    return next((each for each in get_args(Outcome) if each == value), None)
