"""Turn the text of foreign documents into Kubernetes objects, each leaf with its place in the text.

Called by sources.foreign. It takes files and the output of programs. Lists are unpacked, as kubectl does.

Invariant: every object has apiVersion, kind and a name (metadata.name or metadata.generateName), as a Manifest needs.
Held by tests/sources/foreign/test_plain.py.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from bateau.domain.manifest import name_of
from bateau.domain.origin import LazyOrigins, Origin
from bateau.domain.problem import Problem
from bateau.kit.json_value import ReadObject, object_at
from bateau.kit.position import Flaw, Position, item, leaves, nearest
from bateau.kit.yaml_go import KUBECTL
from bateau.kit.yaml_tree import Dialect, Document, Unread, read_documents
from bateau.sources.foreign.tree import FILE_BYTES_MAX

OURS: Final = "bateau.dev/"
KUSTOMIZE_GROUP: Final = "kustomize.config.k8s.io/"
_TEMPLATE: Final = re.compile(r"\{\{-?\s*(?:[.$(]|/\*|(?:if|else|end|range|with|include|template|define|toYaml|tpl)\b)")
_SWITCH_WORDS: Final = "[yYnN]|[yY]es|YES|[oO]n|ON|[nN]o|NO|[oO]ff|OFF"
_SWITCH: Final = re.compile(rf"(?:&\S+\s+)?(?P<word>{_SWITCH_WORDS})(?![\w-])").match
# Searched in the whole text first: few files have such a word, and only those are walked value by value.
_MAY_SWITCH: Final = re.compile(
    rf"(?:^|[:?{{\[,-])\s*(?:&\S+\s+)?(?:{_SWITCH_WORDS})\s*(?:$|[,:}}\]#])", re.MULTILINE
).search
_MAY_BE_UNHEARD: Final = re.compile(r"\.(?:inf|Inf|INF|nan|NaN|NAN)\b").search
_MISPLACED: Final = "this looks like the template of a Helm chart, which is not a manifest before Helm renders it"


@dataclass(frozen=True, slots=True)
class Found:
    """One object, with the places of its leaves. `prefix` is its path in the document if it is an item of a List."""

    tree: ReadObject
    document: Document
    prefix: str = ""

    def at(self, path: str) -> Position:
        """Return the place of a field, or of the nearest field around it."""
        return nearest(self.document.positions, _joined(self.prefix, path), self.document.position)

    def exactly_at(self, path: str) -> Position | None:
        """Return the place of a field if the text has it."""
        return self.document.positions.get(_joined(self.prefix, path))

    def key_at(self, path: str) -> Position | None:
        """Return the place of the key of a field if the text has it."""
        return self.document.keys.get(_joined(self.prefix, path))

    @property
    def kind(self) -> tuple[str, str]:
        """Group and kind."""
        group, slash, _ = str(self.tree["apiVersion"]).partition("/")
        return (group if slash else "", str(self.tree["kind"]))

    @property
    def name(self) -> str:
        """The object's name; "migrate-*" if Kubernetes generates it."""
        return name_of(self.tree)

    @property
    def key(self) -> tuple[str, str, str, str]:
        """Group, kind, namespace and name, which identify an object."""
        return (*self.kind, str(object_at(self.tree, "metadata").get("namespace") or ""), self.name)

    @property
    def annotations(self) -> ReadObject:
        """The object's annotations; none if they are not a mapping."""
        return object_at(self.tree, "metadata", "annotations")


@dataclass(frozen=True, slots=True)
class FilePlaces:
    """Satisfies domain.origin.Places for an unchanged object of a file."""

    found: Found

    def at(self, path: str) -> Position:
        """Return the place of a value, or of the nearest field around it; an object is placed at its name."""
        return self.found.at(path or "metadata.name")

    def key_at(self, path: str) -> Position | None:
        """Return the place of a field's name."""
        return self.found.key_at(path)


def in_file(found: Found) -> LazyOrigins:
    """Return the chains of an unchanged object of a file: one step for each leaf, its place in the file."""
    return LazyOrigins(
        lambda: {path: (Origin("foreign", found.at(path), value),) for path, value in leaves(found.tree)},
        FilePlaces(found),
    )


def read_objects(
    file: str, text: str, *, dialect: Dialect = KUBECTL, written: bool = True
) -> tuple[list[Found], list[Problem]]:
    """Return the objects of a text, in order, and all of its problems.

    A text that is `written`, not printed by a program, may be a Helm template, which is reported as such.
    """
    documents, unread = read_documents(file, text, bytes_max=FILE_BYTES_MAX, dialect=dialect)
    flaws = _flaws(documents, unread)
    if written and flaws and (template := _TEMPLATE.search(text)):
        return [], [_template(_position(file, text, template.start()))]
    problems = [Problem(where=flaw.position, says=flaw.says, hint=flaw.hint) for flaw in flaws]
    unheard = _MAY_BE_UNHEARD(text)
    found: list[Found] = []
    for document in documents:
        if document.flaws or document.tree is None:
            continue
        if unheard:
            problems += _unheard(document)
        for each in _unpacked(Found(object_at(document.tree), document)):
            problem = _shape(each)
            if problem is None:
                found.append(each)
            else:
                problems.append(problem)
    return found, problems


def switches(text: str, objects: Iterable[Found]) -> Iterator[tuple[str, bool, Position]]:
    """Yield word, meaning and place of every unquoted value or key that only YAML 1.1 reads as a boolean."""
    if not _MAY_SWITCH(text):
        return
    lines = _lines(text)
    for document in {id(each.document): each.document for each in objects}.values():
        places = [(document.positions.get(path), value) for path, value in leaves(document.tree)]
        places += [
            (at, path.endswith("true")) for path, at in document.keys.items() if path.endswith(("true", "false"))
        ]
        for at, value in places:
            if isinstance(value, bool) and at and (match := _SWITCH(lines[at.line - 1], at.column - 1)):
                yield match["word"], value, at


def _flaws(documents: list[Document], unread: list[Unread]) -> list[Flaw]:
    flaws = [flaw for each in (*documents, *unread) for flaw in each.flaws]
    return sorted(flaws, key=lambda flaw: flaw.position or Position("", 0, 0))


def _unpacked(found: Found) -> Iterator[Found]:
    """Yield the items of a List of any kind, or the object itself."""
    tree, items = found.tree, found.tree.get("items")
    if not str(tree.get("kind", "")).endswith("List") or not isinstance(items, list):
        yield found
        return
    for index, each in enumerate(items):
        yield from _unpacked(Found(object_at(each), found.document, item(_joined(found.prefix, "items"), index)))


def _shape(found: Found) -> Problem | None:
    """Return the reason why a document is not a Kubernetes object."""
    if not found.tree:
        return Problem(where=found.at(""), says="a manifest must be a mapping with apiVersion, kind and metadata.name")
    version, kind = found.tree.get("apiVersion"), found.tree.get("kind")
    if str(version).startswith(OURS):
        hint = "Bateau reads specs itself; spec.manifests must name files of manifests only"
        return Problem(where=found.at("apiVersion"), says="this is a spec of Bateau, not a manifest", hint=hint)
    if kind in ("Kustomization", "Component") and str(version).startswith((KUSTOMIZE_GROUP, "None")):
        hint = "name its directory with spec.kustomization"
        return Problem(where=found.at("kind"), says="this is a kustomization, not a manifest", hint=hint)
    metadata = object_at(found.tree, "metadata")
    named = "generateName" if metadata.get("generateName") and not metadata.get("name") else "name"
    names = (f"metadata.{named}", metadata.get(named))
    for path, value in (("apiVersion", version), ("kind", kind), names):
        if "{{" in str(value):
            return _template(found.at(path))
        if isinstance(value, str) and value:
            continue
        says = f"the document has no {path}" if value is None else f"{path} must be text, but is {value!r}"
        return Problem(where=found.at(path), says=says, hint=_hint(path, found.tree))
    return None


def _hint(path: str, tree: ReadObject) -> str | None:
    if "resources" in tree and "kind" not in tree:
        return "is it a kustomization? name its directory with spec.kustomization"
    return (
        "is it a manifest? every manifest has apiVersion, kind and metadata.name"
        if not path.startswith("metadata.")
        else None
    )


def _template(where: Position) -> Problem:
    return Problem(where=where, says=_MISPLACED, hint="name the chart with spec.chart")


def _unheard(document: Document) -> Iterator[Problem]:
    """Yield an error for each number that JSON cannot express."""
    for path, value in leaves(document.tree):
        if isinstance(value, float) and value - value != 0:
            says = "JSON, and therefore Kubernetes, cannot express this number"
            where = document.positions.get(path, document.position)
            yield Problem(where=where, says=says, hint="put it in quotes if text is meant")


def _lines(text: str) -> list[str]:
    """Return the lines of a text as yaml_tree counts them."""
    return text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n").split("\n")


def _position(file: str, text: str, offset: int) -> Position:
    lines = _lines(text[:offset])
    return Position(file, len(lines), len(lines[-1]) + 1)


def _joined(prefix: str, path: str) -> str:
    if not prefix or not path:
        return prefix or path
    return f"{prefix}{path}" if path.startswith("[") else f"{prefix}.{path}"
