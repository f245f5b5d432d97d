"""Compare the desired objects with the observed ones, and order the changes, each with its reason.

Called by api.preview_json and control. The desired manifests were
rendered; the observed ones are those of a directory, of another commit or of a live cluster.

Invariant: the order of the manifests never changes the plan; equal sides give no change. An object with a generateName
is not compared: it is created each time. Held by tests/plan/test_delivery_properties.py and
tests/plan/test_generated.py.
Invariant: every object that is removed is named; an object that Bateau does not manage is left alone and reported. Held
by tests/plan/test_delivery_properties.py and tests/plan/test_delivery.py.
Refused: pruning by label alone; an object is removed because it was observed and is no longer desired.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, NamedTuple

from bateau.domain.apply_order import rank, rank_reason
from bateau.domain.change import (
    ABSENT,
    Change,
    ChangeStep,
    Delivery,
    Effect,
    ObjectKey,
    object_name,
)
from bateau.domain.finding import Finding
from bateau.domain.manifest import Manifest
from bateau.domain.problem import Problem, Severity
from bateau.domain.workload import Workload
from bateau.kit.json_value import ReadObject, object_at
from bateau.kit.position import Position
from bateau.plan.difference import canonical, field_changes
from bateau.plan.effects import effect_of, is_destructive, is_workload, lost_with, reason_of, references
from bateau.plan.folding import fold
from bateau.plan.gaps import Apart, Unrendered, gaps
from bateau.plan.pairing import Sides, paired
from bateau.plan.removals import Limits, confirmation, removals_of, unconfirmed

# Edits that some effect has, the strongest first.
_STRENGTH: Final[Sequence[Effect]] = ("recreate", "restart", "unknown", "in place")


@dataclass(frozen=True, kw_only=True)
class Documents:
    """The desired services, and the observed ones if they are known.

    `read` is what `env()` gave to either; it is never shown. The services that could not be rendered are in
    `desired_unrendered` and `observed_unrendered`.
    """

    desired: Sequence[Workload] = ()
    observed: Sequence[Workload] = ()
    read: frozenset[str] = frozenset()
    desired_unrendered: Unrendered = field(default_factory=Unrendered)
    observed_unrendered: Unrendered = field(default_factory=Unrendered)


def compare(
    desired: Iterable[Manifest],
    observed: Iterable[Manifest | ReadObject],
    *,
    environment: str | None = None,
    documents: Documents | None = None,
    findings: Iterable[Finding] = (),
    limits: Limits | None = None,
) -> Delivery:
    """Return the whole effect of `desired` on `observed`. Its problems name the errors of either side."""
    limits, documents = limits or Limits(), documents or Documents()
    problems: list[Problem] = []
    named, generated = _apart(desired)
    present, repeated = _by_key(_apart(map(_as_manifest, observed))[0], "observed", problems)
    wanted, _ = _by_key(named, "desired", problems, repeated=repeated)
    parts = _parts(wanted, present, documents, limits)
    changes = _with_readers(paired(parts.changes, Sides(wanted, present, documents.read)), wanted)
    changes += map(_creation, generated)
    changes.sort(key=_order)
    ours = _documents(documents, parts.apart)
    removals = removals_of(changes)
    confirm = confirmation(removals, len(present), limits)
    if confirm is not None and limits.removals_confirmed != confirm:
        problems.append(unconfirmed(removals, len(present), limits.removals_confirmed))
    found = gaps((documents.desired_unrendered, documents.observed_unrendered), parts.apart)
    moved = {c.service for c in (*changes, *ours) if c.service}
    services = {m.service for m in (*wanted.values(), *present.values()) if m.service}
    services |= {s.key for s in (*documents.desired, *documents.observed)}
    unknown = {gap.service for gap in found} | {each.service for each in parts.apart}
    touched = {c.key for c in changes if c.act != "remove"} | {each.key for each in parts.apart}
    return Delivery(
        environment=environment,
        documents=ours,
        changes=tuple(changes),
        steps=_steps(changes),
        folds=fold((*ours, *changes)),
        services_changed=tuple(sorted(moved)),
        services_same=len(services - moved - unknown),
        objects_same=sum(key not in touched for key in wanted),
        objects_observed=len(present),
        removals=tuple(removals),
        needs_confirmation=confirm,
        removals_confirmed=limits.removals_confirmed,
        left_alone=tuple(sorted(parts.left_alone)),
        gaps=found,
        findings=tuple(findings),
        problems=tuple(sorted(problems, key=lambda p: (p.severity, p.says))),
    )


class _Parts(NamedTuple):
    """The objects that come, change or go; those that are not Bateau's; those that cannot be compared."""

    changes: list[Change]
    left_alone: list[ObjectKey]
    apart: list[Apart]


def _parts(
    wanted: Mapping[ObjectKey, Manifest], present: Mapping[ObjectKey, Manifest], documents: Documents, limits: Limits
) -> _Parts:
    rendered = [{s.key for s in side} for side in (documents.desired, documents.observed)]
    scaled = autoscaled(wanted.values())
    parts = _Parts([], [], [])
    for key, manifest in wanted.items():
        if key not in present:
            side = documents.observed_unrendered
            if reason := side.reason(manifest.service, rendered[1]):
                parts.apart.append(Apart(key, manifest.service, side, reason, going=False))
                continue
        change = _change(key, manifest, present.get(key), scaled=key in scaled, read=documents.read)
        if change:
            parts.changes.append(change)
    for key in present.keys() - wanted.keys():
        side, service = documents.desired_unrendered, present[key].service
        if limits.owner and not _owned(present[key].tree, limits.owner):
            parts.left_alone.append(key)
        elif reason := side.reason(service, rendered[0]):
            parts.apart.append(Apart(key, service, side, reason, going=True))
        else:
            parts.changes.append(_removal(key, present[key]))
    return parts


def _apart(manifests: Iterable[Manifest]) -> tuple[list[Manifest], list[Manifest]]:
    """Return the manifests that identify an object, and those of objects that get a new name each time."""
    every = list(manifests)
    return [each for each in every if not each.is_generated], [each for each in every if each.is_generated]


def _creation(manifest: Manifest) -> Change:
    origins = manifest.origins.get("metadata.generateName", ())
    reason = "each `kubectl create` creates it again, under a new name (metadata.generateName)"
    return Change(act="create", key=manifest.key, service=manifest.service, origins=origins, reasons=(reason,))


def _as_manifest(each: Manifest | ReadObject) -> Manifest:
    return each if isinstance(each, Manifest) else Manifest(service=None, target="observed", tree=each, origins={})


def _by_key(
    manifests: Iterable[Manifest], side: str, problems: list[Problem], *, repeated: Collection[ObjectKey] = ()
) -> tuple[dict[ObjectKey, Manifest], set[ObjectKey]]:
    """Return the manifests by their keys, and the keys that several have. In either order the same one is chosen.

    A key that is `repeated` on the other side is not a new error.
    """
    found: dict[ObjectKey, Manifest] = {}
    several: set[ObjectKey] = set()
    for manifest in manifests:
        lacking = _lacking(manifest.tree)
        if lacking:
            says = f"a {side} manifest{f' of {manifest.service}' if manifest.service else ''} has no {lacking}"
            problems.append(Problem(where=_place(manifest), says=says))
            continue
        key = manifest.key
        if key in found:
            first, second = sorted((found[key], manifest), key=lambda m: (canonical(m.tree), m.service or ""))
            found[key] = first
            several.add(key)
            error = side == "desired" and key not in repeated
            if error or canonical(first.tree) != canonical(second.tree):
                problems.append(_twice(key, side, (first, second), error=error))
        else:
            found[key] = manifest
    return found, several


def _lacking(tree: ReadObject) -> str | None:
    if not isinstance(tree.get("apiVersion"), str) or not isinstance(tree.get("kind"), str):
        return "apiVersion and kind"
    if not isinstance(object_at(tree, "metadata").get("name"), str):
        return "metadata.name"
    return None


def _twice(key: ObjectKey, side: str, two: tuple[Manifest, Manifest], *, error: bool) -> Problem:
    makers = " and ".join(sorted({m.service or "a foreign document" for m in two}))
    severity = Severity.ERROR if error else Severity.WARNING
    says = f"two {side} manifests describe {object_name(key)}; they come from {makers}"
    return Problem(where=_place(two[1]), says=says, hint="keep one, or rename one", severity=severity)


def _place(manifest: Manifest) -> Position | None:
    chain = manifest.origins.get("metadata.name", ())
    return next((origin.at for origin in reversed(chain) if origin.at), None)


def autoscaled(manifests: Iterable[Manifest]) -> set[ObjectKey]:
    """Return the objects whose number of replicas an autoscaler decides."""
    found: set[ObjectKey] = set()
    for manifest in manifests:
        if manifest.tree["kind"] in ("HorizontalPodAutoscaler", "ScaledObject"):
            reference = object_at(manifest.tree, "spec").get("scaleTargetRef")
            if isinstance(reference, dict):
                group = str(reference.get("apiVersion", "apps/v1")).rpartition("/")[0]
                kind, name = str(reference.get("kind", "Deployment")), str(reference.get("name"))
                found.add((group, kind, manifest.key[2], name))
    return found


def _change(
    key: ObjectKey, wanted: Manifest, present: Manifest | None, *, scaled: bool, read: frozenset[str]
) -> Change | None:
    if present is None:
        origins = wanted.origins.get("metadata.name", ())
        return Change(act="create", key=key, service=wanted.service, effect=None, origins=origins)
    if wanted.tree is present.tree or canonical(wanted.tree) == canonical(present.tree):
        return None
    found = field_changes(
        present.tree, wanted.tree, group_kind=key[:2], origins=(present.origins, wanted.origins), read=read
    )
    if scaled:
        found = tuple(f for f in found if not (f.path == "spec.replicas" and f.after is ABSENT))
    if not found:
        return None
    fields = tuple(replace(each, effect=effect_of(key, each, present.tree)) for each in found)
    effect: Effect | None = next((each for each in _STRENGTH if any(f.effect == each for f in fields)), None)
    reasons = tuple(
        reason_of(key, each, [f.shown for f in fields if f.effect == each], present.tree)
        for each in _STRENGTH[:-1]
        if any(f.effect == each for f in fields)
    )
    if effect == "recreate":
        reasons = reasons[:1]
    recreated = effect == "recreate"
    return Change(
        act="recreate" if recreated else "change",
        key=key,
        service=wanted.service,
        fields=fields,
        effect=effect,
        reasons=reasons,
        destructive=recreated and is_destructive(key, present.tree),
    )


def _removal(key: ObjectKey, present: Manifest) -> Change:
    lost = lost_with(key, present.tree)
    return Change(
        act="remove",
        key=key,
        service=present.service,
        reasons=("it is no longer in the desired state", *([lost] if lost else [])),
        origins=present.origins.get("metadata.name", ()),
        destructive=is_destructive(key, present.tree),
    )


def _owned(tree: ReadObject, owner: tuple[str, str]) -> bool:
    return object_at(tree, "metadata", "labels").get(owner[0]) == owner[1]


def _with_readers(changes: list[Change], wanted: Mapping[ObjectKey, Manifest]) -> list[Change]:
    """Add to changed configuration which workloads read it, and when they see the change."""
    changed = {
        c.key: c for c in changes if c.key[:2] in (("", "ConfigMap"), ("", "Secret")) and c.act in ("change", "replace")
    }
    if not changed:
        return changes
    restarting = {c.key for c in changes if c.effect in ("restart", "recreate")}
    said: dict[ObjectKey, dict[str, None]] = {key: {} for key in changed}
    for key in sorted(wanted):
        if not is_workload(key):
            continue
        for kind, name, way in references(wanted[key].tree):
            source = ("", kind, key[2], name)
            if source not in changed:
                continue
            who = object_name(key)
            if key in restarting:
                said[source][f"{who} restarts and reads it"] = None
            elif changed[source].act == "replace":
                said[source][f"{who} reads it from its next pod on"] = None
            elif way == "file":
                said[source][f"{who} does not restart; its mounted files follow within about a minute"] = None
            else:
                said[source][f"{who} does not restart; it reads a {way} only when it starts"] = None
    return [replace(c, reasons=(*c.reasons, *said[c.key])) if c.key in said else c for c in changes]


def _order(change: Change) -> tuple[bool, int, ObjectKey]:
    removal = change.act == "remove"
    return (removal, -rank(*change.key[:2]) if removal else rank(*change.key[:2]), change.key)


def _steps(changes: Sequence[Change]) -> tuple[ChangeStep, ...]:
    """Return the steps: first every object that is applied, then, in reverse order, every object that is removed."""
    coming = [
        ChangeStep(act="recreate" if c.act == "recreate" else "apply", key=c.key, reason=rank_reason(*c.key[:2]))
        for c in changes
        if c.act != "remove"
    ]
    going = [(c.key, "no longer in the desired state") for c in changes if c.act == "remove"]
    words = {"rename": "renamed to", "replace": "replaced by"}
    going += [(c.renamed_from, f"{words[c.act]} {c.key[3]}") for c in changes if c.renamed_from]
    going.sort(key=lambda pair: (-rank(*pair[0][:2]), pair[0]))
    return (*coming, *(ChangeStep(act="remove", key=key, reason=reason) for key, reason in going))


def _documents(documents: Documents, apart: list[Apart]) -> tuple[Change, ...]:
    """Return the changes of services; add those that cannot be compared to `apart`."""
    wanted = {s.key: s for s in documents.desired}
    present = {s.key: s for s in documents.observed}
    found: list[Change] = []
    for name in sorted(wanted.keys() | present.keys()):
        new, old = wanted.get(name), present.get(name)
        some = new or old
        if some is None:
            continue
        key = ("bateau.dev", str(some.tree["kind"]), "", some.name)
        if new is None or old is None:
            missing, rendered = documents.desired_unrendered, wanted
            if new is not None:
                missing, rendered = documents.observed_unrendered, present
            if reason := missing.reason(name, rendered):
                apart.append(Apart(key, name, missing, reason, going=new is None))
            elif new is None:
                found.append(Change(act="remove", key=key, service=name, reasons=("its document was deleted",)))
            else:
                origins = new.origins.get("metadata.name", ())
                found.append(Change(act="create", key=key, service=name, origins=origins))
        elif canonical(new.tree) != canonical(old.tree):
            sides = (old.origins, new.origins)
            fields = field_changes(old.tree, new.tree, group_kind=key[:2], origins=sides, read=documents.read)
            if fields:
                found.append(Change(act="change", key=key, service=name, fields=fields))
    return tuple(found)
