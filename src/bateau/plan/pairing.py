"""Pair an object that is created with the one that is removed for it: a rename, or a generator's new hash.

Called by control.baseline and plan.delivery. It runs once plan.delivery knows which objects are added and which are
removed.

Invariant: an object is in at most one pair. Where several could be meant, none is paired. Held by
tests/plan/test_pairing.py.
Refused: pairs by similar content; two ConfigMaps of one template are similar, and are not the same object.
"""

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from typing import Final, NamedTuple

from bateau.domain.change import SECRET, Change, ObjectKey
from bateau.domain.manifest import Manifest
from bateau.kit.json_value import Json, ReadJson, ReadObject, object_at
from bateau.plan.difference import digest, field_changes

_HASHED: Final = {"ConfigMap": "", "Secret": "", "ResourceClaimTemplate": "resource.k8s.io"}
# kustomize writes ten characters of its own alphabet (api/hasher in sigs.k8s.io/kustomize); charts write hexadecimal.
_GENERATED: Final = re.compile(r"(?P<stem>.+)-(?:[2456789bcdfghkmt]{10}|[0-9a-f]{8,64})").fullmatch


class Sides(NamedTuple):
    """The objects of both sides; `read` is what `env()` gave to either, and is never shown."""

    wanted: Mapping[ObjectKey, Manifest]
    present: Mapping[ObjectKey, Manifest]
    read: Collection[str] = ()


def paired(changes: Iterable[Change], sides: Sides) -> list[Change]:
    """Return the changes with each pair as one change: "replace" for a new hash, "rename" for equal content."""
    every = list(changes)
    coming = [change for change in every if change.act == "create"]
    going = [change for change in every if change.act == "remove"]
    replaced = _pairs([(_stem_of(each), each) for each in coming], [(_stem_of(each), each) for each in going])
    joined = [_replaced(new, old, sides) for new, old in replaced]
    taken = {id(change) for pair in replaced for change in pair}
    renamed = _pairs(
        [(_content_of(each, sides.wanted), each) for each in coming if id(each) not in taken],
        [(_content_of(each, sides.present), each) for each in going if id(each) not in taken],
    )
    joined += [_renamed(new, old) for new, old in renamed]
    taken |= {id(change) for pair in renamed for change in pair}
    return [*(change for change in every if id(change) not in taken), *joined]


_Identity = tuple[str | bytes, ...] | None


def _pairs(
    coming: Iterable[tuple[_Identity, Change]], going: Iterable[tuple[_Identity, Change]]
) -> list[tuple[Change, Change]]:
    """Return the changes that are the only ones on their side with an identity; None pairs nothing."""
    groups: dict[_Identity, tuple[list[Change], list[Change]]] = {}
    for side, changes in enumerate((coming, going)):
        for identity, change in changes:
            if identity is not None:
                groups.setdefault(identity, ([], []))[side].append(change)
    return [(new[0], old[0]) for new, old in groups.values() if len(new) == len(old) == 1]


def _content_of(change: Change, manifests: Mapping[ObjectKey, Manifest]) -> _Identity:
    return (*change.key[:3], _nameless(manifests[change.key].tree))


def stem(kind: str, name: str) -> str | None:
    """Return the name of an object of a kind that generators name, without its hash; None for any other object.

    >>> stem("ConfigMap", "invoices-872fk48bdg"), stem("ConfigMap", "invoices")
    ('invoices', None)
    """
    match = _GENERATED(name) if kind in _HASHED else None
    return match["stem"] if match else None


def _stem_of(change: Change) -> _Identity:
    group, kind, namespace, name = change.key
    found = stem(kind, name) if _HASHED.get(kind) == group else None
    return (kind, namespace, found) if found else None


def _replaced(new: Change, old: Change, sides: Sides) -> Change:
    wanted, present = sides.wanted[new.key], sides.present[old.key]
    before = {**present.tree, "metadata": {**object_at(present.tree, "metadata"), "name": new.key[3]}}
    origins = (present.origins, wanted.origins)
    fields = field_changes(before, wanted.tree, group_kind=new.key[:2], origins=origins, read=sides.read)
    return replace(new, act="replace", renamed_from=old.key, fields=fields)


def _renamed(new: Change, old: Change) -> Change:
    says = f"same content, new name; {old.key[3]} is removed once the new object exists"
    reasons = (says, *old.reasons[1:])
    return replace(new, act="rename", renamed_from=old.key, reasons=reasons, destructive=old.destructive)


def _nameless(tree: ReadObject) -> bytes:
    """Return a digest of an object's content that does not depend on its name, wherever the name is repeated."""
    metadata = object_at(tree, "metadata")
    name = metadata.get("name")
    own = {key: metadata[key] for key in ("labels", "annotations") if metadata.get(key)}
    content = {key: value for key, value in tree.items() if key not in ("metadata", "status")}
    return digest(_without(name, {**content, "metadata": own}))


def _without(name: Json, value: ReadJson) -> ReadJson:
    if isinstance(value, Mapping):
        return {key: _without(name, each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_without(name, each) for each in value]
    return SECRET if value == name else value
