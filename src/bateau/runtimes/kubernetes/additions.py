"""Leave out of a live object what others have added to it: an apply on the server's side does not touch that.

Called by runtimes.kubernetes.present. Pure.

A field counts as added if another manager holds it, Bateau holds nothing in it, and the specs do not have it
(https://kubernetes.io/docs/reference/using-api/server-side-apply/).

Invariant: a field that Bateau holds is never left out, so that its removal from the specs is planned. Held by
tests/runtimes/kubernetes/test_additions.py.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import orjson

from bateau.kit.json_value import (
    Json,
    JsonObject,
    ReadJson,
    ReadObject,
    array_at,
    is_array,
    is_object,
    object_at,
    text_at,
)
from bateau.runtimes.kubernetes.live import FIELD_MANAGER, paths

_Holders = Sequence[tuple[str, JsonObject]]  # managers, and the fields that each holds in one place


@dataclass(slots=True)
class Additions:
    """A live object without the fields that others have added, and who has added which, by path."""

    tree: JsonObject = field(default_factory=dict[str, Json])
    added: dict[str, str] = field(default_factory=dict[str, str])


def without_additions(tree: JsonObject, wanted: ReadObject) -> Additions:
    """Return a live object without what others have added to the wanted one. The tree is not changed."""
    holders = [
        (text_at(each, "manager"), object_at(each, "fieldsV1"))
        for each in array_at(tree, "metadata", "managedFields")
        if text_at(each, "subresource") != "status"
    ]
    found = Additions()
    found.tree = _object(tree, wanted, holders, "", found)
    return found


def _object(tree: JsonObject, wanted: ReadObject, holders: _Holders, path: str, found: Additions) -> JsonObject:
    kept: JsonObject = {}
    for name, value in tree.items():
        key = f"f:{name}"
        if name in wanted or not _is_added(holders, key, path, found):
            here = f"{path}.{name}" if path else name
            nothing: ReadJson = [] if is_array(value) else {}
            kept[name] = _value(value, wanted.get(name, nothing), _below(holders, key), here, found)
    return kept


def _value(value: Json, wanted: ReadJson, holders: _Holders, path: str, found: Additions) -> Json:
    if is_object(value) and isinstance(wanted, Mapping):
        return _object(value, wanted, holders, path, found)
    if is_array(value) and is_array(wanted):
        return [*_items(value, wanted, holders, path, found)]
    return value


def _items(
    items: Sequence[Json], wanted: Sequence[Json], holders: _Holders, path: str, found: Additions
) -> Iterator[Json]:
    """Yield the items of a list that has keys, as `fieldsV1` names them: `k:{"name":"web"}`, or `v:"a"` in a set."""
    named = {key: orjson.loads(key[2:]) for _, fields in holders for key in fields if key.startswith(("k:", "v:"))}
    for item in items:
        key = next((key for key, name in named.items() if _is_it(item, name)), None)
        same = next((each for each in wanted if _is_it(each, named[key])), None) if key else None
        if key is None:
            yield item
        elif same is not None or not _is_added(holders, key, path, found):
            yield _value(item, {} if same is None else same, _below(holders, key), next(paths({key: {}}, path)), found)


def _is_it(item: ReadJson, name: Json) -> bool:
    """Whether an item has this name. The specs may leave out a part of it that has a default."""
    if is_object(name):
        return isinstance(item, Mapping) and all(item.get(key, value) == value for key, value in name.items())
    return item == name


def _below(holders: _Holders, key: str) -> _Holders:
    return [(manager, below) for manager, fields in holders if is_object(below := fields.get(key))]


def _is_added(holders: _Holders, key: str, path: str, found: Additions) -> bool:
    """Whether others hold a field or an item, and Bateau does not. If so, note it."""
    managers = [manager for manager, fields in holders if key in fields]
    if not managers or FIELD_MANAGER in managers:
        return False
    found.added[next(paths({key: {}}, path))] = managers[0]
    return True
