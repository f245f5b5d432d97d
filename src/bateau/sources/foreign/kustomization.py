"""Walk a kustomization and everything that it names, before a program reads it.

Called by sources.foreign. A reference that kustomize would fetch, run, or read from outside the tree is a problem with
its place. Everything else is safe to build without network and without programs to call.

Invariant: a file is named by its real path below the tree, so that a copy of all files gives the same build. Held by
tests/sources/foreign/test_kustomize.py.
Refused: leaving it to kustomize, which clones repositories, and at best names the file of an error.
"""

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

from bateau.domain.problem import Problem
from bateau.kit.json_value import ReadJson, ReadObject, array_at, object_at
from bateau.kit.position import Position, child, item, leaves, nearest
from bateau.kit.yaml_go import KUSTOMIZE
from bateau.kit.yaml_tree import Document, read_documents
from bateau.sources.foreign.tree import FILE_BYTES_MAX, FILES_MAX, OUTSIDE_HINT, Tree

NAMES: Final = ("kustomization.yaml", "kustomization.yml", "Kustomization")
_ELSEWHERE: Final = re.compile(
    r"[A-Za-z][\w+.-]*://|git::|gh:|[\w.-]+@[\w.-]+[:/]|github\.com[:/]|.*(?:\.git(?:$|[/?])|_git/|\?(?:ref|version)=)"
).match
_ELSEWHERE_HINT: Final = "copy it into the repository, where it is reviewed, and name the copy"
_HELM_HINT: Final = "name the chart with spec.chart, in an App of its own"
_FUNCTIONS: Final = ("config.kubernetes.io/function", "config.k8s.io/function")

# resource: a file or a directory; plugin: the same or YAML itself; patch: a file or YAML itself.
_Sort = Literal["resource", "plugin", "patch", "file"]
_LISTS: Final[Mapping[str, _Sort]] = {
    **dict.fromkeys(("resources", "bases", "components"), "resource"),
    **dict.fromkeys(("generators", "transformers", "validators"), "plugin"),
    "patchesStrategicMerge": "patch",
    **dict.fromkeys(("crds", "configurations"), "file"),
}
_WITH_PATH: Final = ("patches", "patchesJson6902", "replacements")
GENERATORS: Final = ("configMapGenerator", "secretGenerator")
_HELM_FIELDS: Final = ("helmCharts", "helmChartInflationGenerator")


@dataclass(frozen=True, slots=True)
class Reference:
    """What an entry names: `path` is the field ("resources[0]"), `value` its content."""

    path: str
    value: str
    sort: _Sort


@dataclass(frozen=True, slots=True)
class Kustomization:
    """One kustomization file."""

    name: str
    folder: str
    document: Document

    @property
    def tree(self) -> ReadObject:
        """Its content."""
        return object_at(self.document.tree)

    def at(self, path: str) -> Position:
        """Return the place of a field, or of the nearest field around it."""
        return nearest(self.document.positions, path, Position(self.name, 1, 1))


@dataclass(slots=True)
class Walk:
    """Everything that a kustomization consists of: the top one first, then those that it names, in order.

    `resources` are the files of objects, `files` all files. `linked`: some are reached through links.
    """

    kustomizations: list[Kustomization] = field(default_factory=list[Kustomization])
    resources: list[str] = field(default_factory=list[str])
    files: set[str] = field(default_factory=set[str])
    problems: list[Problem] = field(default_factory=list[Problem])
    linked: bool = False


def walk(tree: Tree, folder: str, *, where: Position) -> Walk:
    """Return everything that the kustomization in `folder` consists of. `where` is the place that names it."""
    walker = _Walker(tree)
    walker.enter(folder, where)
    return walker.walk


def is_elsewhere(path: str) -> bool:
    """Whether kustomize would read a path as a URL or a Git repository."""
    return _ELSEWHERE(path) is not None


def references(tree: ReadObject) -> Iterator[Reference]:
    """Yield everything that a kustomization names, in the order in which such fields are usually written."""
    for name, sort in _LISTS.items():
        for index, value in enumerate(array_at(tree, name)):
            if isinstance(value, str):
                yield Reference(item(name, index), value, sort)
    for name in _WITH_PATH:
        for index, value in enumerate(array_at(tree, name)):
            yield from _path_of(value, item(name, index))
    yield from _path_of(tree.get("openapi"), "openapi")
    for name in GENERATORS:
        for index, value in enumerate(array_at(tree, name)):
            yield from _of_generator(object_at(value), item(name, index))


def _path_of(value: ReadJson, path: str) -> Iterator[Reference]:
    if isinstance(named := object_at(value).get("path"), str):
        yield Reference(child(path, "path"), named, "file")


def _of_generator(tree: ReadObject, path: str) -> Iterator[Reference]:
    for name in ("files", "envs"):
        for index, value in enumerate(array_at(tree, name)):
            if isinstance(value, str):
                yield Reference(item(child(path, name), index), value.rpartition("=")[2], "file")
    if isinstance(value := tree.get("env"), str):
        yield Reference(child(path, "env"), value, "file")


class _Walker:
    def __init__(self, tree: Tree) -> None:
        self._tree = tree
        self._seen: set[str] = set()
        self.walk = Walk()

    def enter(self, folder: str, where: Position) -> None:
        real = self._tree.name_of(self._tree.root / folder) or folder
        if real != folder:
            self.walk.linked = True
        if real in self._seen:
            return
        self._seen.add(real)
        name = next((each for each in NAMES if self._tree.is_file(f"{real}/{each}")), None)
        if name is None:
            says = f"the directory {real} has no kustomization.yaml"
            self._problem(where, says, self._tree.instead(f"{real}/kustomization.yaml"))
            return
        name = name if real == "." else f"{real}/{name}"
        for document in self._documents(name, where)[:1]:
            found = Kustomization(name, real, document)
            self.walk.kustomizations.append(found)
            self._refused_fields(found)
            named = [*references(found.tree)]
            self._need(found, [each.value for each in named])
            for each in named:
                self._follow(found, each)

    def _refused_fields(self, found: Kustomization) -> None:
        for name in _HELM_FIELDS:
            if name in found.tree:
                says = f"`{name}` fetches and renders charts, which Bateau does not do in a kustomization"
                self._problem(found.at(name), says, _HELM_HINT)

    def _follow(self, found: Kustomization, reference: Reference) -> None:
        value, where = reference.value, found.at(reference.path)
        if reference.sort in {"plugin", "patch"} and "\n" in value:
            if reference.sort == "plugin":
                documents, _ = read_documents(found.name, value, dialect=KUSTOMIZE)
                self._plugins(found, [(document, where) for document in documents])
            return
        if is_elsewhere(value):
            self._problem(where, f"`{value}` is remote, and Bateau does not fetch resources", _ELSEWHERE_HINT)
            return
        name = self._tree.named(value, below=found.folder)
        if name is None:
            says = f"`{value}` is outside the directory of the specs"
            self._problem(where, says, OUTSIDE_HINT)
        elif (self._tree.root / name).is_dir():
            self.enter(name, where)
        elif (self._tree.root / name).is_file():
            self._file(found, name, reference.sort, where)
        else:
            says = f"`{value}` does not exist below {found.folder}"
            self._problem(where, says, self._tree.instead(name))

    def _need(self, found: Kustomization, paths: Iterable[str]) -> None:
        """Put the missing files of these paths into the directory, all at once."""
        names = {os.path.normpath(f"{found.folder}/{path}") for path in paths if "\n" not in path}
        self._tree.need([name for name in names if name.partition("/")[0] not in {"..", ""}])

    def _file(self, found: Kustomization, name: str, sort: _Sort, where: Position) -> None:
        if self._tree.name_of(self._tree.root / name) != name:
            self.walk.linked = True
        if len(self.walk.files) >= FILES_MAX:
            self._problem(where, f"the kustomization names more than {FILES_MAX:,} files", None)
            return
        if sort == "resource" and name not in self.walk.files:
            self.walk.resources.append(name)
        if sort == "plugin":
            self._plugins(found, [(document, document.position) for document in self._documents(name, where)])
        self.walk.files.add(name)

    def _plugins(self, found: Kustomization, documents: list[tuple[Document, Position]]) -> None:
        """Refuse generators and transformers that are programs, containers or charts."""
        for document, where in documents:
            tree = object_at(document.tree)
            # Those of kustomize itself have fields for files; which ones, each kind decides.
            words = (value for _, value in leaves(tree) if isinstance(value, str))
            self._need(found, {part for word in words for part in (word, word.rpartition("=")[2])})
            kind = str(tree.get("kind"))
            annotations = object_at(object_at(tree, "metadata").get("annotations"))
            if kind == "HelmChartInflationGenerator":
                self._problem(
                    where,
                    f"`{kind}` fetches and renders charts, which Bateau does not do in a kustomization",
                    _HELM_HINT,
                )
            elif any(name in annotations for name in _FUNCTIONS) or tree.get("apiVersion") != "builtin":
                says = f"`{kind}` is a plug-in, a program or a container, and Bateau does not run plug-ins"
                self._problem(where, says, "run it beforehand, and commit its output")

    def _documents(self, name: str, where: Position) -> list[Document]:
        self.walk.files.add(name)
        text = self._tree.text(name, where=where)
        if isinstance(text, Problem):
            self.walk.problems.append(text)
            return []
        documents, unread = read_documents(name, text, bytes_max=FILE_BYTES_MAX, dialect=KUSTOMIZE)
        for flaw in (flaw for each in (*documents, *unread) for flaw in each.flaws):
            self._problem(flaw.position or where, flaw.says, flaw.hint)
        return documents

    def _problem(self, where: Position, says: str, hint: str | None) -> None:
        self.walk.problems.append(Problem(where=where, says=says, hint=hint))
