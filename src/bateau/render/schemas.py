"""The schemas of one cluster: those of Kubernetes, and those of its CRDs.

Built by wiring from data, extended by control.assembly with the CRDs that apps bring; asked by render.validation.

Invariant: kinds are known by group, version and kind, because many kinds exist in two groups. Nothing is fetched. Held
by tests/wiring/test_explain_names.py::test_a_group_tells_equal_kinds_apart and tests/wiring/test_crds.py.
Invariant: the scope of a kind comes from its CRD or from Kubernetes' own table. It is never guessed from the group:
GatewayClass and VolumeSnapshotClass are in groups that end in .k8s.io, and no Kubernetes has them built in. Held by
tests/wiring/test_crds.py.
"""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from hashlib import blake2b
from typing import Final, TypedDict

import jsonschema_rs

from bateau.domain.api_defaults import with_defaults
from bateau.domain.api_resources import API_RESOURCES, Scope
from bateau.kit.json_value import Json, JsonObject, ReadJson, ReadObject, array_at, object_at, part_at, text_at
from bateau.render.crd_schema import json_schema, without_defaults
from bateau.render.crd_schema import with_defaults as with_crd_defaults
from bateau.render.definitions import Definitions
from bateau.render.served_form import ServedForms

# Group, version and kind.
Key = tuple[str, str, str]
_CRD: Final = ("apiextensions.k8s.io", "v1", "CustomResourceDefinition")


@dataclass(frozen=True, slots=True)
class Checker:
    """The schema of one kind, and its compiled form."""

    schema: JsonObject
    validator: jsonschema_rs.Draft202012Validator

    def errors(self, tree: ReadJson) -> Iterator[jsonschema_rs.ValidationError]:
        """Yield everything in a manifest that the schema rejects."""
        return self.validator.iter_errors(tree)

    def accepts(self, tree: ReadJson) -> bool:
        """Whether a manifest is valid."""
        return self.validator.is_valid(tree)

    def fields_at(self, schema_path: Iterable[str | int]) -> list[str]:
        """Return the fields of the mapping whose keyword (the last step of the path) rejected something."""
        *way, _ = schema_path
        found: ReadJson = self.schema
        for step in way:
            found = part_at(found, step)
        return list(object_at(found, "properties"))


# As the data file has it; `kinds` is {"apps/v1/Deployment": a name in `$defs`}.
Shipped = TypedDict("Shipped", {"version": str, "kinds": dict[str, str], "$defs": dict[str, JsonObject]})


class Kubernetes:
    """What one version of Kubernetes serves; its checkers are compiled once, whatever CRDs stand beside them.

    `third_party` are CRDs that a cluster may have. Their schemas are known, but nothing says that they are served.
    """

    def __init__(self, shipped: Shipped, third_party: Iterable[ReadObject] = ()) -> None:
        self.version = shipped["version"]
        self.names = {_key(text): name for text, name in shipped["kinds"].items()}
        self._shipped = shipped["$defs"]
        self._definitions = Definitions(self._shipped)
        self._forms = ServedForms(self._shipped)
        self._checkers: dict[Key, Checker | str] = {}
        self.extended: dict[bytes, Schemas] = {}
        self.third_party = _Definitions(third_party)

    def checker(self, key: Key) -> Checker | str:
        """Return the checker of a kind, or why there is none."""
        if key not in self._checkers:
            if name := self.names.get(key):
                self._checkers[key] = _compiled(key, self._definitions.schema(name))
            else:
                self._checkers[key] = self.third_party.checker(key)
        return self._checkers[key]

    def served(self, key: Key, tree: ReadObject) -> ReadObject:
        """Return an object in the form in which an API server keeps it."""
        return self._forms.of(tree, self.names[key])


class _Definitions:
    """The schemas by kind, and the scopes, of some CRDs."""

    def __init__(self, crds: Iterable[ReadObject]) -> None:
        self.scopes: dict[tuple[str, str], Scope] = {}
        self.schemas: dict[Key, JsonObject] = {}
        for crd in crds:
            spec = object_at(crd, "spec")
            group, kind = text_at(spec, "group"), text_at(spec, "names", "kind")
            self.scopes[group, kind] = "Cluster" if spec["scope"] == "Cluster" else "Namespaced"
            for version in map(object_at, array_at(spec, "versions")):
                if version["served"]:
                    self.schemas[group, text_at(version, "name"), kind] = object_at(
                        version, "schema", "openAPIV3Schema"
                    )

    def checker(self, key: Key) -> Checker | str:
        """Return a new checker of a kind, or why there is none."""
        schema = self.schemas.get(key)
        return _compiled(key, json_schema(schema)) if schema else _unknown(key)


class Schemas:
    """Checkers by group, version and kind, compiled when first asked for, and the scope of each kind."""

    def __init__(self, shipped: Shipped | Kubernetes, crds: Iterable[ReadObject] = ()) -> None:
        self._kubernetes = shipped if isinstance(shipped, Kubernetes) else Kubernetes(shipped)
        self.version = self._kubernetes.version
        self.digest = self.version.encode()
        self._checkers: dict[Key, Checker | str] = {}
        self._definitions = _Definitions(crds)
        self._crds = self._definitions.schemas

    def with_crds(self, crds: Iterable[ReadObject]) -> "Schemas":
        """Return the schemas of Kubernetes and of these CRDs, given as trees; `digest` stands for all of them.

        A CRD that its own schema rejects is left out. The same CRDs give the same value, so that environments share
        the compiled schemas.
        """
        checker = self._kubernetes.checker(_CRD)
        sound = [crd for crd in crds if _key_of(crd) == _CRD and isinstance(checker, Checker) and checker.accepts(crd)]
        texts = sorted(json.dumps(crd, sort_keys=True, default=str).encode() for crd in sound)
        digest = blake2b(b"\0".join((self.version.encode(), *texts)), digest_size=16).digest()
        known = self._kubernetes.extended
        if digest not in known:
            known[digest] = Schemas(self._kubernetes, sound)
            known[digest].digest = digest
        return known[digest]

    def checker(self, key: Key) -> Checker | str:
        """Return the checker of a kind, or why there is none. A CRD that is given names all versions of its kind."""
        if (key[0], key[2]) not in self._definitions.scopes:
            return self._kubernetes.checker(key)
        if key not in self._checkers:
            self._checkers[key] = self._definitions.checker(key)
        return self._checkers[key]

    def versions(self, group: str, kind: str) -> tuple[str, list[str]]:
        """Return who serves a kind, in words, and the versions that it is served in."""
        for who, keys in ((f"the CRD of {kind}", self._crds), (f"Kubernetes {self.version}", self._kubernetes.names)):
            if found := [version for each, version, name in keys if (each, name) == (group, kind)]:
                return who, found
        return "", []

    def scope(self, group: str, kind: str) -> Scope | None:
        """Return whether objects of a kind are in a namespace; None where that is not known."""
        resource = API_RESOURCES.get((group, kind))
        known = self._definitions.scopes.get((group, kind)) or self._kubernetes.third_party.scopes.get((group, kind))
        return known or (resource.scope if resource else None)

    def kinds(self) -> frozenset[tuple[str, str]]:
        """Return group and kind of everything that the cluster is known to serve."""
        return frozenset((group, kind) for group, _, kind in (*self._kubernetes.names, *self._crds))

    def kind_names(self) -> frozenset[str]:
        """Return the kinds that the cluster is known to serve, whatever their groups."""
        return frozenset(kind for _, kind in self.kinds())

    def crd_versions(self) -> tuple[str, ...]:
        """Return the API versions that the CRDs serve, each also with its kind: "a.dev/v1", "a.dev/v1/Thing"."""
        found = [(f"{group}/{version}", f"{group}/{version}/{kind}") for group, version, kind in sorted(self._crds)]
        return tuple(dict.fromkeys(each for pair in found for each in pair))

    def with_defaults(self, tree: ReadObject) -> ReadObject:
        """Return an object as the API server shows it to its policies: named, in its form, defaults filled in.

        An object whose kind is not known gets no defaults.
        """
        tree, key = _named(tree), _key_of(tree)
        if schema := self._third_party(key):
            return with_crd_defaults(schema, tree)
        return with_defaults(self._kubernetes.served(key, tree)) if key in self._kubernetes.names else tree

    def without_defaults(self, live: ReadObject, wanted: ReadObject) -> ReadObject:
        """Return a live third-party object without what its schema has filled in beside the wanted fields."""
        schema = self._third_party(_key_of(wanted))
        return without_defaults(schema, live, wanted) if schema else live

    def has_rules(self, key: Key) -> bool:
        """Whether the schema holds CEL rules, which are not evaluated here."""
        return _holds_rules(self._third_party(key))

    def _third_party(self, key: Key) -> JsonObject | None:
        """Return the schema of a third-party kind, if it is known."""
        if (key[0], key[2]) in self._definitions.scopes:
            return self._crds.get(key)
        return self._kubernetes.third_party.schemas.get(key)


def _compiled(key: Key, schema: JsonObject) -> Checker | str:
    try:
        compiled = jsonschema_rs.Draft202012Validator(
            schema, validate_formats=False, offline=True, pattern_options=jsonschema_rs.RegexOptions()
        )
    except (ValueError, jsonschema_rs.ValidationError) as error:
        return f"the schema of {key[2]} cannot be compiled: {str(error).splitlines()[0]}"
    return Checker(schema, compiled)


def _unknown(key: Key) -> str:
    group, version, kind = key
    return f"no schema of {kind} in {group or 'the core group'}/{version} is known"


def _named(tree: ReadObject) -> ReadObject:
    """Return an object with a name such as the API server makes from `generateName`: five characters are appended."""
    metadata = object_at(tree, "metadata")
    if metadata.get("name") or not metadata.get("generateName"):
        return tree
    return {**tree, "metadata": {**metadata, "name": f"{metadata['generateName']}00000"}}


def _key_of(tree: ReadObject) -> Key:
    group, _, version = str(tree.get("apiVersion")).rpartition("/")
    return (group, version, str(tree.get("kind")))


def _key(text: str) -> Key:
    *group, version, kind = text.split("/")
    return (group[0] if group else "", version, kind)


def _holds_rules(schema: Json) -> bool:
    if isinstance(schema, dict):
        return "x-kubernetes-validations" in schema or any(map(_holds_rules, schema.values()))
    return isinstance(schema, list) and any(map(_holds_rules, schema))
