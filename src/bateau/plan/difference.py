"""Compare two trees and say which fields differ, each with its path, both values and its origin.

Called by control.piece, plan.delivery, plan.folding and plan.pairing. The only knowledge of Kubernetes in
here comes from server_fields.

Invariant: the edits of a tree, applied to the observed one, give the desired one; without edits there is no effect.
Held by tests/plan/test_delivery_properties.py::test_the_edits_made_to_the_observed_tree_give_the_desired_one.
Invariant: no edit has a value of a Secret, or of a variable that is named like one. Held by
tests/plan/test_delivery.py::test_values_of_secrets_are_in_no_part_of_a_plan.
Refused: the shortest edit script of a list; items are matched by their names, as the API server does.
"""

import json
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from hashlib import blake2b
from typing import Final, NamedTuple, TypeGuard

import orjson

from bateau.domain.change import ABSENT, SECRET, FieldChange, FieldValue
from bateau.domain.origin import Origin, Origins
from bateau.domain.secrecy import hidden, is_secret_name, reads_environment, variable_at, without_logins
from bateau.kit.cel_quantity import parse_quantity
from bateau.kit.concealed import holds, tree_without, without
from bateau.kit.json_value import SCALARS, Json, ReadJson, ReadObject, object_at
from bateau.kit.position import below, child, item
from bateau.plan.cause import cause_of
from bateau.plan.server_fields import Node, is_negligible, server_fields

# The fields that name an item of a list, in the order in which they are tried.
_NAMES: Final = ("name", "mountPath", "devicePath", "containerPort", "port", "key", "topologyKey", "ip")
# Paths at which the built-in types of Kubernetes have quantities. In a custom resource the same path may be text.
_QUANTITIES: Final = re.compile(
    r"""(?:^|\.)(?:containers|initContainers|ephemeralContainers)\[\d+\]\.resources\.(?:limits|requests)(?:\.[^.\[]+|\['[^']+'\])$
    |^spec\.(?:volumeClaimTemplates\[\d+\]\.spec\.)?resources\.(?:limits|requests)\.storage$
    |\.sizeLimit$|^spec\.capacity\.storage$|^spec\.hard(?:\.[^.\[]+|\['[^']+'\])$|\.averageValue$|\.target\.value$
    |^spec\.limits\[\d+\]\.(?:default|defaultRequest|max|min|maxLimitRequestRatio)(?:\.[^.\[]+|\['[^']+'\])$""",
    re.VERBOSE,
)
_NO_ORIGINS: Final[Mapping[str, tuple[Origin, ...]]] = {}


class Edit(NamedTuple):
    """One raw difference, before secrets are taken out."""

    path: str
    shown: str
    before: FieldValue
    after: FieldValue


def canonical(tree: ReadJson) -> bytes:
    """Return the one JSON form of a tree: keys sorted, numbers and booleans told apart."""
    try:
        return orjson.dumps(tree, default=_plain, option=orjson.OPT_SORT_KEYS)
    except TypeError:
        # Keys that are not strings, integers of more than 64 bits: slower, and as exact.
        return json.dumps(_textual(tree), sort_keys=True, ensure_ascii=False).encode("utf-8", "surrogatepass")


def digest(tree: ReadJson) -> bytes:
    """Return 16 bytes that stand for the content of a tree."""
    return blake2b(canonical(tree), digest_size=16).digest()


def edits(before: ReadObject, after: ReadObject, table: Node | None = None) -> list[Edit]:
    """Return the differences of two trees, in the order of their paths."""
    return list(_mappings("", "", before, after, table))


def field_changes(
    before: ReadObject,
    after: ReadObject,
    *,
    group_kind: tuple[str, str],
    origins: tuple[Origins, Origins] = (_NO_ORIGINS, _NO_ORIGINS),
    read: Collection[str] = (),
) -> tuple[FieldChange, ...]:
    """Compare an observed object with the desired one.

    `origins` are of both, in this order; the chain of a removed field is taken from the first. `read` is what
    `env()` gave.
    """
    sealed = group_kind == ("", "Secret")
    if sealed:
        before, after = _with_data(before), _with_data(after)
    found: list[FieldChange] = []
    for edit in edits(before, after, server_fields(*group_kind)):
        old, new = (_chain(each, edit.path, sealed=sealed) for each in origins)
        chain, other = (old, new) if edit.after is ABSENT else (new, old)
        cause = cause_of(chain, other)
        if any(reads_environment(c) or holds(v, read) for c, v in ((old, edit.before), (new, edit.after))):
            # Both: where the one is a secret, the other was one, or is the same.
            values = (value if value is ABSENT else SECRET for value in (edit.before, edit.after))
        else:
            sides = zip((edit.before, edit.after), origins, strict=True)
            values = (
                value if value is ABSENT else tree_without(_unread(value, edit.path, side), read, SECRET)
                for value, side in sides
            )
        change = _without_secrets(Edit(edit.path, edit.shown, *values), chain, after, sealed=sealed)
        told = tuple(_told(each, read) for each in change.origins) if read else change.origins
        found.append(replace(change, origins=told, cause=None if cause is None else told[cause]))
    return tuple(found)


def _told(step: Origin, read: Collection[str]) -> Origin:
    return replace(step, value=tree_without(step.value, read, SECRET), says=step.says and without(step.says, read))


def _unread(value: ReadJson, path: str, origins: Origins) -> ReadJson:
    """Return a collection without what `env()` has given to it."""
    if isinstance(value, Mapping):
        return {key: _unread(each, child(path, str(key)), origins) for key, each in value.items()}
    if isinstance(value, list):
        return [_unread(each, item(path, at), origins) for at, each in enumerate(value)]
    return SECRET if reads_environment(origins.get(path, ())) else value


def _mappings(path: str, shown: str, before: ReadObject, after: ReadObject, table: Node | None) -> Iterator[Edit]:
    children = table.children if table else {}
    for key in sorted(before.keys() | after.keys(), key=str):
        old, new = before.get(key, ABSENT), after.get(key, ABSENT)
        if old is new:
            continue
        node = children.get(key)
        if node and node.ignored:
            continue
        here = (child(path, str(key)), child(shown, str(key)))
        if new is ABSENT or old is ABSENT:
            observed = new is ABSENT
            there, siblings = (old, before) if observed else (new, after)
            if not is_negligible(node, there, {**after, **siblings}, observed=observed):
                yield from _one_sided(here, old, new, node)
        else:
            yield from _values(here, old, new, node)


def _one_sided(here: tuple[str, str], old: FieldValue, new: FieldValue, node: Node | None) -> Iterator[Edit]:
    """Yield a value that only one side has, without its negligible fields."""
    there = old if new is ABSENT else new
    if isinstance(there, Mapping) and there and node and node.children:
        kept = {
            key: each
            for key, each in there.items()
            if not is_negligible(node.children.get(key), each, there, observed=new is ABSENT)
        }
        if len(kept) < len(there):
            yield Edit(*here, *((kept, ABSENT) if new is ABSENT else (ABSENT, there)))
            return
    yield Edit(*here, old, new)


def _values(here: tuple[str, str], old: ReadJson, new: ReadJson, node: Node | None) -> Iterator[Edit]:
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        yield from _mappings(*here, old, new, node)
    elif isinstance(old, list | tuple) and isinstance(new, list | tuple):
        yield from _lists(here, old, new, node)
    elif not _same(here[0], old, new):
        yield Edit(*here, old, new)


def _lists(
    here: tuple[str, str], old: Sequence[ReadJson], new: Sequence[ReadJson], node: Node | None
) -> Iterator[Edit]:
    items = node.children.get("[]") if node else None
    path, shown = here
    if not (_are_objects(old) and _are_objects(new)):
        if (index := _only_difference(old, new)) is not None:
            yield Edit(item(path, index), item(shown, index), old[index], new[index])
        elif canonical(old) != canonical(new):
            yield Edit(path, shown, old, new)
    elif (name := _naming(old, new)) is not None:
        yield from _named_lists(here, old, new, name, items)
    elif len(old) == len(new):
        for index, (was, will) in enumerate(zip(old, new, strict=True)):
            yield from _mappings(item(path, index), item(shown, index), was, will, items)
    elif canonical(old) != canonical(new):
        yield Edit(path, shown, old, new)


def _are_objects(items: Sequence[ReadJson]) -> TypeGuard[Sequence[ReadObject]]:
    return all(isinstance(each, Mapping) for each in items)


def _named_lists(
    here: tuple[str, str], old: Sequence[ReadObject], new: Sequence[ReadObject], name: str, items: Node | None
) -> Iterator[Edit]:
    path, shown = here
    olds = {each[name]: index for index, each in enumerate(old)}
    news = {each[name]: index for index, each in enumerate(new)}
    if [each for each in olds if each in news] != [each for each in news if each in olds]:
        yield Edit(path, shown, old, new)
        return
    alone = len(old) == len(new) == 1
    for value, index in olds.items():
        if value not in news:
            yield Edit(item(path, index), f"{shown}[{name}={value}]", old[index], ABSENT)
    for value, index in news.items():
        called = item(shown, index) if alone else f"{shown}[{name}={value}]"
        if value in olds:
            yield from _mappings(item(path, index), called, old[olds[value]], new[index], items)
        else:
            yield Edit(item(path, index), called, ABSENT, new[index])


def _only_difference(old: Sequence[ReadJson], new: Sequence[ReadJson]) -> int | None:
    """Return where two lists of plain values differ, if that is in one place: an argument of a command."""
    if len(old) != len(new) or any(isinstance(each, Mapping | list | tuple) for each in (*old, *new)):
        return None
    differing = [
        index for index, (was, will) in enumerate(zip(old, new, strict=True)) if canonical(was) != canonical(will)
    ]
    return differing[0] if len(differing) == 1 else None


def _naming(old: Sequence[ReadObject], new: Sequence[ReadObject]) -> str | None:
    """Return the field that tells the items of both lists apart, where there is one."""
    if not old and not new:
        return None
    for name in _NAMES:
        values = [[each.get(name) for each in side] for side in (old, new)]
        if all(isinstance(v, str | int) and not isinstance(v, bool) for side in values for v in side) and all(
            len(set(side)) == len(side) for side in values
        ):
            return name
    return None


def _same(path: str, old: ReadJson, new: ReadJson) -> bool:
    if type(old) is type(new) and old == new:
        return True
    if _QUANTITIES.search(path) and all(isinstance(each, str | int | float) for each in (old, new)):
        try:
            return parse_quantity(str(old)) == parse_quantity(str(new))
        except ValueError:
            return False
    return canonical(old) == canonical(new)


def _chain(origins: Origins, path: str, *, sealed: bool) -> tuple[Origin, ...]:
    """Return the chain of a path: its own, that of the nearest thing around it, or of the first thing in it."""
    if sealed and path.startswith("data.") and path not in origins:
        path = f"stringData.{path.removeprefix('data.')}"
    around = path
    while around and around not in origins:
        around = around[: max(around.rfind("."), around.rfind("["), 0)]
    return origins.get(around) or next((chain for each, chain in origins.items() if below(each, path)), ())


def _without_secrets(edit: Edit, chain: tuple[Origin, ...], desired: ReadObject, *, sealed: bool) -> FieldChange:
    in_data = edit.path.startswith(("data", "stringData"))
    named = is_secret_name(variable_at(edit.path, desired) or "")
    secret = bool((sealed and in_data) or named or SECRET in (edit.before, edit.after))
    if sealed:
        chain = tuple(Origin(each.how, each.at, SECRET) for each in chain)
    if secret:
        chain = tuple(Origin(each.how, each.at, SECRET) for each in chain)
        before, after = (value if value is ABSENT else SECRET for value in (edit.before, edit.after))
    else:
        before, after = (
            value if value is ABSENT else hidden(value, around=edit.path) for value in (edit.before, edit.after)
        )
        # The chain of a collection is that of the first thing in it, which may be the sealed one.
        several = any(isinstance(value, Mapping | list) for value in (edit.before, edit.after))
        sealed_in = several and (before, after) != (edit.before, edit.after)
        values = (SECRET if sealed_in else hidden(each.value) for each in chain)
        says = (each.says and without_logins(each.says) for each in chain)
        chain = tuple(Origin(e.how, e.at, v, s) for e, v, s in zip(chain, values, says, strict=True))
    return FieldChange(path=edit.path, shown=edit.shown, before=before, after=after, origins=chain, secret=secret)


def _with_data(secret: ReadObject) -> ReadObject:
    """Return a Secret with `stringData` in `data`, as the server keeps it. The bytes never leave this module."""
    text = secret.get("stringData")
    if not isinstance(text, Mapping):
        return secret
    from base64 import b64encode

    encoded = {key: b64encode(str(value).encode()).decode() for key, value in text.items()}
    rest = {key: value for key, value in secret.items() if key != "stringData"}
    return {**rest, "data": {**object_at(secret, "data"), **encoded}}


def _plain(value: ReadJson) -> dict[str, ReadJson]:
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{type(value).__name__} is not a value of a manifest")


def _textual(value: ReadJson) -> Json:
    if isinstance(value, Mapping):
        return {str(key): _textual(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_textual(each) for each in value]
    return value if isinstance(value, SCALARS) else str(value)
