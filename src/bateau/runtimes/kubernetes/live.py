"""The summary of an object of the cluster: its identity, its health, and the fields that Bateau holds.

Called by runtimes.kubernetes and wiring.clusters. Pure.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from hashlib import blake2b
from sys import intern
from typing import Final
from weakref import WeakValueDictionary

import orjson

from bateau.domain.object_state import AUTOSCALERS
from bateau.kit.json_value import Json, JsonObject, ReadObject, array_at, is_object, object_at, text_at
from bateau.kit.kstatus import Health, health
from bateau.runtimes.kubernetes.api import FIELD_MANAGER
from bateau.runtimes.kubernetes.reasons import quota_words

OWNER: Final = "bateau.dev/owner"
SERVICE: Final = "bateau.dev/service"
_REVISION: Final = "deployment.kubernetes.io/revision"

# One request sets both times, each to the second.
_SAME_REQUEST: Final = timedelta(seconds=1)

# Objects of one shape hold the same fields, and share one set of their paths.
_PATHS: Final[WeakValueDictionary[str, frozenset[str]]] = WeakValueDictionary()

Key = tuple[str, str, str, str]


@dataclass(frozen=True, slots=True)
class Live:
    """One object.

    `version` grows with each change (KEP-5504). `fields` is a digest of the fields that Bateau's apply holds, None if
    it holds none; `paths` are the fields, and `held` is a digest of them with their values, as that of `asked`.
    `made_here`: nobody else has written the object. `owner` and `service` are those of its labels. `parent` is the uid
    of its controller; `rollout` counts the templates that a Deployment has had.
    """

    key: Key
    uid: str
    version: int
    service: str
    health: Health
    fields: str | None
    parent: str = ""
    rollout: int = 0
    paths: frozenset[str] = frozenset()
    held: bytes = b""
    made_here: bool = False
    owner: str = ""


def live(tree: JsonObject, *, judge: Callable[[JsonObject], Health] = health) -> Live:
    """Return the summary of an object, whose health is that of `judge`."""
    judged = judge(tree)
    fields = fields_digest(tree)
    return Live(
        key=key_of(tree),
        uid=text_at(tree, "metadata", "uid"),
        version=version_of(tree),
        service=service_of(text_at(tree, "metadata", "labels", SERVICE)),
        health=replace(judged, says=quota_words(judged.says)) if judged.says else judged,
        fields=fields,
        parent=parent_of(tree),
        rollout=int(rollout) if (rollout := text_at(tree, "metadata", "annotations", _REVISION)).isdecimal() else 0,
        paths=held_paths(tree, fields),
        held=held_values(tree) if fields else b"",
        made_here=fields is not None and is_made_here(tree),
        owner=intern(text_at(tree, "metadata", "labels", OWNER)),
    )


def label_of(service: str) -> str:
    """Return a service key as the value of a label, which has no slash.

    >>> label_of("app/shop"), service_of("app.shop")
    ('app.shop', 'app/shop')
    """
    return service.replace("/", ".", 1)


def service_of(label: str) -> str:
    """Return the service key in a label."""
    return label.replace(".", "/", 1)


def key_of(tree: ReadObject) -> Key:
    """Return group, kind, namespace and name."""
    group = text_at(tree, "apiVersion").rpartition("/")[0]
    return group, text_at(tree, "kind"), text_at(tree, "metadata", "namespace"), text_at(tree, "metadata", "name")


def version_of(tree: JsonObject) -> int:
    """Return the resource version, which grows with each change of any object of a kind."""
    told = text_at(tree, "metadata", "resourceVersion")
    return int(told) if told.isdecimal() else 0


def parent_of(tree: JsonObject) -> str:
    """Return the uid of the controller that owns an object, "" if there is none."""
    owners = array_at(tree, "metadata", "ownerReferences")
    return next((text_at(o, "uid") for o in owners if is_object(o) and o.get("controller") is True), "")


def fields_digest(tree: JsonObject) -> str | None:
    """Return a digest of the set of fields that Bateau's apply holds in an object; None if it holds none."""
    fields = held_fields(tree)
    if not fields:
        return None
    return blake2b(orjson.dumps(fields, option=orjson.OPT_SORT_KEYS), digest_size=12).hexdigest()


def held_paths(tree: JsonObject, digest: str | None) -> frozenset[str]:
    """Return the paths of the fields that Bateau's apply holds; `digest` is that of `fields_digest`."""
    if digest is None:
        return frozenset()
    found = _PATHS.get(digest)
    return found if found is not None else _PATHS.setdefault(digest, frozenset(paths(held_fields(tree))))


def held_values(tree: JsonObject) -> bytes:
    """Return a digest of the fields that Bateau's apply holds, with their values."""
    entry = _apply_of(tree)
    return _digest([text_at(entry, "apiVersion"), _part(tree, object_at(entry, "fieldsV1"))])


def asked(body: bytes) -> bytes:
    """Return the same digest of the body of an apply: equal if the apply would change nothing.

    The API server may write a value in another way, such as a quantity that is a number; then they differ.
    """
    tree: JsonObject = orjson.loads(body)
    metadata = {key: each for key, each in object_at(tree, "metadata").items() if key not in ("name", "namespace")}
    fields = {key: each for key, each in tree.items() if key not in ("apiVersion", "kind", "metadata")}
    return _digest([text_at(tree, "apiVersion"), {**fields, "metadata": metadata}])


def _digest(content: Json) -> bytes:
    return blake2b(orjson.dumps(content, option=orjson.OPT_SORT_KEYS), digest_size=16).digest()


def _part(value: Json, fields: JsonObject) -> Json:
    """Return the part of a value that `fieldsV1` names."""
    below = {key: object_at(each) for key, each in fields.items() if key != "."}
    if not below:
        return value
    if is_object(value):
        names = ((key.removeprefix("f:"), each) for key, each in below.items())
        return {name: _part(value[name], each) for name, each in names if name in value}
    if not isinstance(value, list):
        return value
    items = {key.removeprefix("k:").removeprefix("v:"): each for key, each in below.items()}
    first: Json = orjson.loads(next(iter(items)))
    found = [(_identity(each, first), each) for each in value]
    known = {_canonical(key): each for key, each in items.items()}
    return [_part(each, known[name]) for name, each in found if name in known]


def _identity(item: Json, like: Json) -> bytes:
    """Return the canonical form of the fields of an item that make its key, or of the item itself in a set."""
    if is_object(item) and is_object(like):
        item = {key: each for key, each in item.items() if key in like}
    return orjson.dumps(item, option=orjson.OPT_SORT_KEYS)


def _canonical(told: str) -> bytes:
    return orjson.dumps(orjson.loads(told), option=orjson.OPT_SORT_KEYS)


def held_fields(tree: JsonObject, manager: str = FIELD_MANAGER) -> JsonObject:
    """Return the fields that the apply of a manager holds, in the form of `fieldsV1` (KEP-555)."""
    return object_at(_apply_of(tree, manager), "fieldsV1")


def _apply_of(tree: JsonObject, manager: str = FIELD_MANAGER) -> JsonObject:
    """Return what the API server notes of the apply of a manager; empty without one."""
    for each in array_at(tree, "metadata", "managedFields"):
        if (
            text_at(each, "manager") == manager
            and text_at(each, "operation") == "Apply"
            and not text_at(each, "subresource")
        ):
            return object_at(each)
    return {}


def is_made_here(tree: JsonObject) -> bool:
    """Whether nobody but Bateau's apply, and controllers that write a status, has ever written this object.

    A copy of its labels by hand, or an object that existed before, has another manager, or is older than the apply. In
    doubt it is not.
    """
    fields = [each for each in array_at(tree, "metadata", "managedFields") if not text_at(each, "subresource")]
    if len(fields) != 1 or f"f:{OWNER}" not in object_at(held_fields(tree), "f:metadata", "f:labels"):
        return False
    try:
        created, applied = (
            datetime.fromisoformat(each)
            for each in (text_at(tree, "metadata", "creationTimestamp"), text_at(fields[0], "time"))
        )
    except ValueError:
        return False
    return abs(applied - created) <= _SAME_REQUEST


def paths(fields: JsonObject, before: str = "") -> Iterator[str]:
    """Yield the paths of the leaves of `fieldsV1`.

    >>> list(paths({"f:spec": {"f:replicas": {}, 'k:{"name":"web"}': {".": {}, "f:image": {}}}}))
    ['spec.replicas', 'spec[name=web].image']
    """
    for key, below in fields.items():
        if key == ".":
            continue
        kind, _, name = key.partition(":")
        here = f"{before}.{name}" if kind == "f" and before else name if kind == "f" else f"{before}[{_item(name)}]"
        if is_object(below) and any(each != "." for each in below):
            yield from paths(below, here)
        else:
            yield here


def takers(tree: JsonObject, lost: frozenset[str]) -> tuple[tuple[str, str], ...]:
    """Return which manager holds each of these paths now, "" where nobody does.

    A field that an autoscaler has taken is left out: it writes what it decides.
    """
    holders = other_holders(tree)
    found = ((path, holders.get(path, "")) for path in sorted(lost))
    return tuple((path, manager) for path, manager in found if manager not in AUTOSCALERS)


def other_holders(tree: JsonObject) -> dict[str, str]:
    """Return the managers besides Bateau of the fields of an object, without its status, by path."""
    holders: dict[str, str] = {}
    for each in array_at(tree, "metadata", "managedFields"):
        manager = text_at(each, "manager")
        if manager != FIELD_MANAGER and text_at(each, "subresource") != "status":
            holders.update(dict.fromkeys(paths(object_at({"": each}, "", "fieldsV1")), manager))
    return holders


def _item(told: str) -> str:
    try:
        tree: Json = orjson.loads(told)
    except orjson.JSONDecodeError:
        return told
    return ",".join(f"{key}={value}" for key, value in tree.items()) if is_object(tree) else str(tree)
