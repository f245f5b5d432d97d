"""Compare what shall be with what is, object by object, and put what changes in an order with reasons.

Called by control for `plan` and `apply`, with manifests that were rendered, and with manifests of a folder, of another
commit or of a live cluster on the other side.

Invariant: the order of the manifests never changes the plan; equal sides give no change.
Invariant: whatever goes is in `removals`, one by one; what Bateau does not own is left alone and said.
Refused: pruning by label alone; an object goes because it was there before and is not wanted now, and it is listed.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, cast

from bateau.domain.apply_order import rank, rank_reason
from bateau.domain.change import (
    ABSENT,
    SECRET,
    Change,
    ChangeStep,
    Delivery,
    Effect,
    ObjectKey,
    Tree,
    object_name,
)
from bateau.domain.finding import Finding
from bateau.domain.manifest import Manifest
from bateau.domain.problem import Problem, Severity
from bateau.domain.workload import Workload
from bateau.plan.difference import canonical, digest, field_changes
from bateau.plan.effects import effect_of, is_workload, lost_with, reason_of, references
from bateau.plan.folding import fold

# Edits that some effect has, the strongest first.
_STRENGTH: Final[Sequence[Effect]] = ("recreate", "restart", "unknown", "in place")


@dataclass(frozen=True, kw_only=True)
class Limits:
    """How much may go without being asked about, and what is ours to remove.

    More than `removals_share_max` of what is observed (0 to 1) and at least `removals_min` objects need the exact
    number as `removals_confirmed`. With `owner` (a label and its value) only objects that have it are removed.
    """

    removals_share_max: float = 0.2
    removals_min: int = 3
    removals_confirmed: int | None = None
    owner: tuple[str, str] | None = None


@dataclass(frozen=True, kw_only=True)
class Documents:
    """Services as they shall be and as they were last released, where that is known.

    `read` is what `env()` has given to either: it is never shown.
    """

    desired: Sequence[Workload] = ()
    observed: Sequence[Workload] = ()
    read: frozenset[str] = frozenset()


def compare(
    desired: Iterable[Manifest],
    observed: Iterable[Manifest | Tree],
    *,
    environment: str | None = None,
    documents: Documents | None = None,
    findings: Iterable[Finding] = (),
    limits: Limits | None = None,
) -> Delivery:
    """Return the whole effect of `desired` on `observed`. What is wrong with either side is in its problems."""
    limits, documents = limits or Limits(), documents or Documents()
    problems: list[Problem] = []
    wanted = _by_key(desired, "desired", problems)
    present = _by_key(map(_as_manifest, observed), "observed", problems)
    scaled = _scaled(wanted.values())
    changes: list[Change] = []
    left_alone: list[ObjectKey] = []
    for key, manifest in wanted.items():
        change = _change(key, manifest, present.get(key), scaled=key in scaled, read=documents.read)
        if change:
            changes.append(change)
    for key in present.keys() - wanted.keys():
        if limits.owner and not _owned(present[key].tree, limits.owner):
            left_alone.append(key)
        else:
            changes.append(_removal(key, present[key]))
    changes = _with_readers(_renames(changes, wanted, present), wanted)
    changes.sort(key=_order)
    ours = _documents(documents)
    removals = tuple(sorted(gone for c in changes if (gone := c.key if c.act == "remove" else c.renamed_from)))
    confirm = _confirmation(len(removals), len(present), limits)
    if confirm is not None and limits.removals_confirmed != confirm:
        problems.append(_unconfirmed(confirm, len(present), limits.removals_confirmed))
    moved = {c.service for c in (*changes, *ours) if c.service}
    services = {m.service for m in (*wanted.values(), *present.values()) if m.service}
    services |= {s.key for s in (*documents.desired, *documents.observed)}
    touched = {c.key for c in changes if c.act != "remove"}
    return Delivery(
        environment=environment,
        documents=ours,
        changes=tuple(changes),
        steps=_steps(changes),
        folds=fold((*ours, *changes)),
        services_changed=tuple(sorted(moved)),
        services_same=len(services - moved),
        objects_same=sum(key not in touched for key in wanted),
        objects_observed=len(present),
        removals=removals,
        needs_confirmation=confirm,
        left_alone=tuple(sorted(left_alone)),
        findings=tuple(findings),
        problems=tuple(sorted(problems, key=lambda p: (p.severity, p.says))),
    )


def _as_manifest(each: Manifest | Tree) -> Manifest:
    return each if isinstance(each, Manifest) else Manifest(service=None, target="observed", tree=each, origins={})


def _by_key(manifests: Iterable[Manifest], side: str, problems: list[Problem]) -> dict[ObjectKey, Manifest]:
    """Return the manifests by what makes them one object. Of two for the same object, either order picks the same."""
    found: dict[ObjectKey, Manifest] = {}
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
            if side == "desired" or canonical(first.tree) != canonical(second.tree):
                problems.append(_twice(key, side, first, second))
        else:
            found[key] = manifest
    return found


def _lacking(tree: Tree) -> str | None:
    if not isinstance(tree.get("apiVersion"), str) or not isinstance(tree.get("kind"), str):
        return "apiVersion and kind"
    metadata = tree.get("metadata")
    if not isinstance(metadata, Mapping) or not isinstance(cast("Tree", metadata).get("name"), str):
        return "metadata.name"
    return None


def _twice(key: ObjectKey, side: str, first: Manifest, second: Manifest) -> Problem:
    makers = " and ".join(sorted({m.service or "a foreign document" for m in (first, second)}))
    severity = Severity.ERROR if side == "desired" else Severity.WARNING
    says = f"{object_name(key)} stands twice among the {side} manifests, from {makers}"
    return Problem(where=_place(second), says=says, hint="keep one, or give one another name", severity=severity)


def _place(manifest: Manifest) -> Any:
    chain = manifest.origins.get("metadata.name", ())
    return next((origin.at for origin in reversed(chain) if origin.at), None)


def _scaled(manifests: Iterable[Manifest]) -> set[ObjectKey]:
    """Return what an autoscaler counts: there the number of replicas is not ours."""
    found: set[ObjectKey] = set()
    for manifest in manifests:
        if manifest.tree["kind"] in ("HorizontalPodAutoscaler", "ScaledObject"):
            target: Any = cast("Tree", manifest.tree.get("spec") or {}).get("scaleTargetRef")
            if isinstance(target, Mapping):
                reference = cast("Tree", target)
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
        reason_of(key, each, [f.shown for f in fields if f.effect == each])
        for each in _STRENGTH[:-1]
        if any(f.effect == each for f in fields)
    )
    if effect == "recreate":
        reasons = reasons[:1]
    act = "recreate" if effect == "recreate" else "change"
    return Change(act=act, key=key, service=wanted.service, fields=fields, effect=effect, reasons=reasons)


def _removal(key: ObjectKey, present: Manifest) -> Change:
    lost = lost_with(key)
    reasons = ("it is not wanted any more", *([lost] if lost else []))
    origins = present.origins.get("metadata.name", ())
    return Change(act="remove", key=key, service=present.service, reasons=reasons, origins=origins)


def _owned(tree: Tree, owner: tuple[str, str]) -> bool:
    labels: Any = tree["metadata"].get("labels")
    return isinstance(labels, Mapping) and cast("Tree", labels).get(owner[0]) == owner[1]


def _renames(
    changes: Iterable[Change], wanted: Mapping[ObjectKey, Manifest], present: Mapping[ObjectKey, Manifest]
) -> list[Change]:
    """Join what comes and what goes with the same content. Where several could be meant, none is."""
    coming: dict[tuple[Any, ...], list[Change]] = {}
    going: dict[tuple[Any, ...], list[Change]] = {}
    kept: list[Change] = []
    for change in changes:
        if change.act == "create":
            coming.setdefault((*change.key[:3], _nameless(wanted[change.key].tree)), []).append(change)
        elif change.act == "remove":
            going.setdefault((*change.key[:3], _nameless(present[change.key].tree)), []).append(change)
        else:
            kept.append(change)
    for content in coming.keys() | going.keys():
        new, old = coming.get(content, []), going.get(content, [])
        if len(new) == len(old) == 1:
            says = f"the same content had the name {old[0].key[3]}; that one goes when the new one is there"
            reasons = (says, *old[0].reasons[1:])
            kept.append(replace(new[0], act="rename", renamed_from=old[0].key, reasons=reasons))
        else:
            kept += [*new, *old]
    return kept


def _nameless(tree: Tree) -> bytes:
    """Return what stands for the content of an object whatever its name is, and wherever the name is repeated."""
    metadata = cast("Tree", tree["metadata"])
    name = metadata["name"]
    own = {key: metadata[key] for key in ("labels", "annotations") if metadata.get(key)}
    content = {key: value for key, value in tree.items() if key not in ("metadata", "status")}
    return digest(_without(name, {**content, "metadata": own}))


def _without(name: str, value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _without(name, each) for key, each in cast("Tree", value).items()}
    if isinstance(value, list | tuple):
        return [_without(name, each) for each in cast("Sequence[Any]", value)]
    return SECRET if value == name else value


def _with_readers(changes: list[Change], wanted: Mapping[ObjectKey, Manifest]) -> list[Change]:
    """Say of changed configuration who reads it, and when what changed is seen there."""
    changed = {c.key: c for c in changes if c.key[:2] in (("", "ConfigMap"), ("", "Secret")) and c.act == "change"}
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
            elif way == "file":
                said[source][f"{who} does not restart; its mounted files follow within about a minute"] = None
            else:
                said[source][f"{who} does not restart, and reads it as a {way} only when it does"] = None
    return [replace(c, reasons=(*c.reasons, *said[c.key])) if c.key in said else c for c in changes]


def _order(change: Change) -> tuple[Any, ...]:
    removal = change.act == "remove"
    return (removal, -rank(*change.key[:2]) if removal else rank(*change.key[:2]), change.key)


def _steps(changes: Sequence[Change]) -> tuple[ChangeStep, ...]:
    """Return the steps: first all that comes, then, the other way round, all that goes."""
    coming = [
        ChangeStep(act="recreate" if c.act == "recreate" else "apply", key=c.key, reason=rank_reason(*c.key[:2]))
        for c in changes
        if c.act != "remove"
    ]
    going = [(c.key, "not wanted any more") for c in changes if c.act == "remove"]
    going += [(c.renamed_from, f"renamed to {c.key[3]}") for c in changes if c.renamed_from]
    going.sort(key=lambda pair: (-rank(*pair[0][:2]), pair[0]))
    return (*coming, *(ChangeStep(act="remove", key=key, reason=reason) for key, reason in going))


def _documents(documents: Documents) -> tuple[Change, ...]:
    wanted = {s.key: s for s in documents.desired}
    present = {s.key: s for s in documents.observed}
    found: list[Change] = []
    for name in sorted(wanted.keys() | present.keys()):
        new, old = wanted.get(name), present.get(name)
        some = new or old
        if some is None:
            continue
        key = ("bateau.dev", str(some.tree["kind"]), "", some.name)
        if new is None:
            found.append(Change(act="remove", key=key, service=name, reasons=("it is not written any more",)))
        elif old is None:
            found.append(Change(act="create", key=key, service=name, origins=new.origins.get("metadata.name", ())))
        elif canonical(new.tree) != canonical(old.tree):
            origins = (old.origins, new.origins)
            fields = field_changes(old.tree, new.tree, group_kind=key[:2], origins=origins, read=documents.read)
            if fields:
                found.append(Change(act="change", key=key, service=name, fields=fields))
    return tuple(found)


def _confirmation(removed: int, observed: int, limits: Limits) -> int | None:
    too_many = removed >= limits.removals_min and removed > limits.removals_share_max * observed
    return removed if too_many else None


def _unconfirmed(removed: int, observed: int, given: int | None) -> Problem:
    says = f"{removed} of {observed} objects would be removed" + (f", not {given}" if given is not None else "")
    return Problem(where=None, says=says, hint=f"look at the list, then give --yes-remove {removed}")
