"""The schemas of one cluster: those of Kubernetes, and those of its CRDs.

Built by wiring from data; asked by render.validation.

Invariant: kinds are known by group, version and kind, because many kinds exist in two groups. Nothing is fetched.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, cast

import jsonschema_rs

from bateau.render.crd_schema import json_schema
from bateau.render.definitions import Definitions

Key = tuple[str, str, str]


@dataclass(frozen=True, slots=True)
class Checker:
    """The schema of one kind, and its compiled form."""

    schema: Mapping[str, Any]
    validator: jsonschema_rs.Draft202012Validator

    def errors(self, tree: Any) -> Iterator[jsonschema_rs.ValidationError]:
        """Yield everything in a manifest that the schema rejects."""
        return self.validator.iter_errors(tree)

    def fields_at(self, schema_path: Iterable[str | int]) -> list[str]:
        """Return the fields of the mapping whose keyword (the last step of the path) rejected something."""
        *way, _ = schema_path
        found: Any = self.schema
        for step in way:
            found = found[step]
        return list(found.get("properties", ()))


class Schemas:
    """Checkers by group, version and kind, compiled when first asked for.

    `kubernetes` is {"version", "kinds": {"apps/v1/Deployment": name}, "$defs"}; `crds` are trees of
    CustomResourceDefinitions.
    """

    def __init__(self, kubernetes: Mapping[str, Any], crds: Iterable[Mapping[str, Any]] = ()) -> None:
        self.version: str = kubernetes["version"]
        self._definitions = Definitions(kubernetes["$defs"])
        self._names: dict[Key, str] = {_key(text): name for text, name in kubernetes["kinds"].items()}
        self._crds: dict[Key, Any] = {}
        self._versions: dict[tuple[str, str], list[str]] = {}
        for crd in crds:
            spec: dict[str, Any] = crd["spec"]
            for version in spec["versions"]:
                if version.get("served", True):
                    key = (spec["group"], version["name"], spec["names"]["kind"])
                    self._crds[key] = version.get("schema", {}).get("openAPIV3Schema")
        for group, version, kind in (*self._names, *self._crds):
            self._versions.setdefault((group, kind), []).append(version)
        self._checkers: dict[Key, Checker | str] = {}

    def checker(self, key: Key) -> Checker | str:
        """Return the checker of a kind, or why there is none."""
        if key not in self._checkers:
            self._checkers[key] = self._compiled(key)
        return self._checkers[key]

    def versions(self, group: str, kind: str) -> list[str]:
        """Return the versions in which the cluster serves a kind."""
        return self._versions.get((group, kind), [])

    def has_rules(self, key: Key) -> bool:
        """Whether the schema holds CEL rules, which are not evaluated here."""
        return _holds_rules(self._crds.get(key))

    def _compiled(self, key: Key) -> Checker | str:
        if name := self._names.get(key):
            schema = self._definitions.schema(name)
        elif self._crds.get(key):
            schema = json_schema(self._crds[key])
        else:
            return f"no schema of {key[2]} in {key[0] or 'the core group'}/{key[1]} is known"
        try:
            compiled = jsonschema_rs.Draft202012Validator(
                schema, validate_formats=False, offline=True, pattern_options=jsonschema_rs.RegexOptions()
            )
        except (ValueError, jsonschema_rs.ValidationError) as error:
            return f"the schema of {key[2]} cannot be compiled: {str(error).splitlines()[0]}"
        return Checker(schema, compiled)


def _key(text: str) -> Key:
    *group, version, kind = text.split("/")
    return (group[0] if group else "", version, kind)


def _holds_rules(schema: Any) -> bool:
    if isinstance(schema, dict):
        tree = cast("dict[str, Any]", schema)
        return "x-kubernetes-validations" in tree or any(map(_holds_rules, tree.values()))
    return isinstance(schema, list) and any(map(_holds_rules, cast("list[Any]", schema)))
