"""Preview the effect of changed specs on the services of this machine, before anything changes.

Called by api.operations, api.preview_json, control.loop, ui.changes, ui.drafts, wiring.applying, wiring.changing and
wiring.local. Pure.

Invariant: the preview decides in the same way as the loop if replicas are replaced: by the revision of their template.
Held by tests/local/test_apply.py.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from bateau.control.assembly import Assembly
from bateau.control.path import Written, model_source, runs_here
from bateau.control.walk import Outcome, World, walk
from bateau.domain.api_key import ApiKey
from bateau.domain.change import Delivery
from bateau.domain.release import Release
from bateau.domain.workload import External, Workload
from bateau.kit.quantity import format_seconds
from bateau.plan import Documents, compare


@dataclass(frozen=True, kw_only=True)
class Effect:
    """The effect of a change on one service, or on one key, in words."""

    service: str
    does: str


@dataclass(frozen=True, kw_only=True)
class Preview:
    """The changes field by field, and their effects on the running services and the API keys."""

    written: Written
    delivery: Delivery
    effects: tuple[Effect, ...] = ()
    keys_changed: int = 0


def walked(
    written: Written,
    desired: Release,
    running: Release,
    world: World,
    *,
    target: str,
    now: Outcome | None,
    keys: Sequence[ApiKey],
) -> Preview:
    """Do the same as `preview` for a site, with the units that the desired release would have there."""
    planned = walk(desired, world, Assembly(target))
    return preview(written, desired, running, planned=planned, now=now, keys=keys)


def preview(
    written: Written,
    desired: Release,
    running: Release,
    *,
    planned: Outcome | None = None,
    now: Outcome | None = None,
    keys: Sequence[ApiKey] = (),
) -> Preview:
    """Compare `desired`, the release of `written`, with `running`.

    `planned` and `now` are the outcomes of `desired` and `running`, where known. `keys` are those of the current specs.
    """
    before = {service.key: service for service in running.services}
    documents = Documents(desired=desired.services, observed=running.services, read=written.read)
    delivery = compare((), (), environment=desired.environment, documents=documents, findings=written.findings)
    changed = {change.service for change in delivery.documents}
    effects = [
        Effect(service=service.key, does=_does(service, before.get(service.key), planned, now))
        for service in desired.services
        if service.key in changed
    ]
    gone = before.keys() - {service.key for service in desired.services}
    effects += [Effect(service=key, does=_leaves(before[key])) for key in sorted(gone)]
    of_keys = _of_keys(keys, written.keys)
    return Preview(written=written, delivery=delivery, effects=(*effects, *of_keys), keys_changed=len(of_keys))


def _does(service: Workload, before: Workload | None, planned: Outcome | None, now: Outcome | None) -> str:
    if isinstance(service.runs, External):
        return "is served by an external endpoint; Bateau runs no process for it"
    if not runs_here(service):
        return "does not run on this machine: it is for clusters only"
    count, had = service.replicas, before.replicas if before and runs_here(before) else 0
    if before is None or not had:
        fetched = ", once its model is here" if model_source(service) and not _template(service.key, planned) else ""
        return f"starts {_replicas(count)}{fetched}" if count else "starts no replica: replicas is 0"
    if planned and (refused := planned.refused.get(service.key)):
        return f"stays as it is: {refused}"
    new, old = _template(service.key, planned), _template(service.key, now)
    scaled = [] if count == had else [f"starts {_replicas(count - had)} more"] if count > had else [_stops(had - count)]
    if new is not None and new == old:
        return "; ".join(scaled) or "no replica restarts"
    if new is None and model_source(service):
        return "; ".join(["replaces its replicas once its model is here", *scaled])
    drains = f"each old one drains for at most {format_seconds(service.drain_timeout_s)}"
    return "; ".join([f"replaces {_replicas(min(count, had) or had)}, one new for one old, and {drains}", *scaled])


def _of_keys(before: Sequence[ApiKey], after: Sequence[ApiKey]) -> list[Effect]:
    """Return the effects on the keys that change in more than their place."""
    old = {key.name: replace(key, declared_at=None) for key in before}
    new = {key.name: replace(key, declared_at=None) for key in after}
    does = {
        name: "is revoked" if name not in new else "is admitted" if name not in old else "changes"
        for name in sorted(old.keys() | new.keys())
        if old.get(name) != new.get(name)
    }
    return [Effect(service=f"key/{name}", does=each) for name, each in does.items()]


def _leaves(service: Workload) -> str:
    return _stops(service.replicas) if runs_here(service) else "is removed; no replica of it ran here"


def _stops(count: int) -> str:
    return f"drains and stops {_replicas(count)}"


def _replicas(count: int) -> str:
    return f"{count} replica{'' if count == 1 else 's'}"


def _template(key: str, outcome: Outcome | None) -> str | None:
    made = outcome.units.get(key) if outcome else None
    return made.revision if made else None
