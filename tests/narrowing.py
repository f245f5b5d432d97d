"""Compare two versions of CustomResourceDefinitions: what the new ones refuse or lose that the old ones accept.

Called by specs/test_crds.py.

A narrowing breaks objects that a cluster stores already: the server prunes their removed fields, and refuses the next
change of an object that a new rule forbids.
"""

from collections.abc import Iterator, Mapping
from typing import Any

_LEAST = ("minimum", "minLength", "minItems", "minProperties")
_MOST = ("maximum", "maxLength", "maxItems", "maxProperties")
_SAME = ("default", "format", "pattern", "x-kubernetes-list-type", "x-kubernetes-map-type")

Schema = Mapping[str, Any]


def narrowings(old: list[Any], new: list[Any]) -> list[str]:
    """Return each difference that a new version of the API would need, with the path of its field."""
    there = {each["metadata"]["name"]: each["spec"] for each in new}
    found: list[str] = []
    for each in old:
        name, was = each["metadata"]["name"], each["spec"]
        now = there.get(name)
        if now is None:
            found.append(f"{name}: the kind was removed")
            continue
        found += [f"{name}: {key} changed" for key in ("scope", "group") if was[key] != now[key]]
        found += [
            f"{name}: names.{key} changed" for key in ("kind", "plural") if was["names"][key] != now["names"][key]
        ]
        versions = {version["name"]: version for version in now["versions"] if version["served"]}
        for version in was["versions"]:
            found += _version(f"{name} {version['name']}", version, versions.get(version["name"]))
    return found


def _version(name: str, was: Schema, now: Schema | None) -> Iterator[str]:
    if now is None:
        yield f"{name}: the version is no longer served"
        return
    for part, value in was.get("subresources", {}).items():
        if now.get("subresources", {}).get(part) != value:
            yield f"{name}: the subresource {part} was removed or changed"
    for says in _schema(was["schema"]["openAPIV3Schema"], now["schema"]["openAPIV3Schema"], ""):
        yield f"{name}: {says}"


def _schema(was: Schema, now: Schema, at: str) -> Iterator[str]:
    shown = at or "the document"
    if was.get("type") != now.get("type"):
        yield f"{shown}: the type changed from {was.get('type')} to {now.get('type')}"
        return
    for key in ("x-kubernetes-int-or-string", "x-kubernetes-preserve-unknown-fields", "nullable"):
        if was.get(key) and not now.get(key):
            yield f"{shown}: {key} was removed"
    yield from (f"{shown}: {key} changed" for key in _SAME if was.get(key) != now.get(key))
    yield from (f"{shown}: {key} was raised" for key in _LEAST if key in now and now[key] > was.get(key, float("-inf")))
    yield from (f"{shown}: {key} was lowered" for key in _MOST if key in now and now[key] < was.get(key, float("inf")))
    if "enum" in now and (gone := [each for each in was.get("enum", ["any other"]) if each not in now["enum"]]):
        yield f"{shown}: the values {', '.join(gone)} were removed"
    for name in now.get("required", []):
        if name not in was.get("required", []):
            yield f"{at}.{name}: the field became required"
    rules = [each["rule"] for each in was.get("x-kubernetes-validations", [])]
    for each in now.get("x-kubernetes-validations", []):
        if each["rule"] not in rules:
            yield f"{shown}: there is a new rule, {each['message']}"
    yield from _parts(was, now, at)


def _parts(was: Schema, now: Schema, at: str) -> Iterator[str]:
    fields = now.get("properties", {})
    for name, schema in was.get("properties", {}).items():
        if name in fields:
            yield from _schema(schema, fields[name], f"{at}.{name}")
        elif not now.get("x-kubernetes-preserve-unknown-fields"):
            yield f"{at}.{name}: the field was removed"
    for key, end in (("items", "[]"), ("additionalProperties", ".*")):
        if key in was and key in now:
            yield from _schema(was[key], now[key], f"{at}{end}")
        elif key in was and not now.get("x-kubernetes-preserve-unknown-fields"):
            yield f"{at}{end}: {key} was removed"
