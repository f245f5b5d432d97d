"""Carry the versions that the files of one environment pin over to those of the next.

Called by wiring.promotion. The files are those that an App has in each of two environments.
Pure: `read` returns the text of a file of the commit.

Invariant: a file that both environments use is not changed; it pins the same versions for both. Held by
tests/git/test_overlays.py.
Invariant: registries (`newName`, `image.repository`) stay: each environment may have its own. Held by
tests/git/test_overlays.py.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from posixpath import join, normpath
from typing import Final

import yaml

from bateau.domain.problem import Problem
from bateau.kit.json_value import SCALARS, JsonObject, Scalar, array_at, object_at
from bateau.kit.position import child, leaves
from bateau.kit.yaml_tree import read_documents
from bateau.sources.git.promotion import PINS, Written, edit, last_step

_NAMES: Final = ("kustomization.yaml", "kustomization.yml", "Kustomization")
_BASES: Final = ("resources", "components", "bases")
_VERSIONS: Final = ("newTag", "digest", "tagSuffix")

Read = Callable[[str], str | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Files:
    """The files that decide on versions of an App in one environment: paths below the directory of the specs."""

    kustomization: str | None = None
    value_files: tuple[str, ...] = ()


@dataclass(slots=True)
class FilePromotion:
    """The new texts of files, one line for every change, and the differences that are left.

    `pins`: the source's own files pin something.
    """

    texts: dict[str, str] = field(default_factory=dict[str, str])
    changes: list[str] = field(default_factory=list[str])
    left: list[str] = field(default_factory=list[str])
    problems: list[Problem] = field(default_factory=list[Problem])
    pins: bool = False

    def promote(self, source: Files, target: Files, read: Read) -> None:
        """Make the files of the target pin the versions that those of the source pin."""
        current: Read = lambda file: self.texts[file] if file in self.texts else read(file)  # noqa: E731
        edits: dict[str, dict[str, Scalar]] = {}
        if source.kustomization is not None and target.kustomization is not None:
            self._overlays(source.kustomization, target.kustomization, current, edits)
        self._value_files(source.value_files, target.value_files, current, edits)
        for file, changes in sorted(edits.items()):
            made = edit(Written(file=file, text=current(file) or "", environment=None), changes)
            self.problems += made.problems
            if made.changes:
                self.texts[file] = made.text
                self.changes += [f"{file}: {each}" for each in made.changes]

    def _overlays(self, source: str, target: str, read: Read, edits: dict[str, dict[str, Scalar]]) -> None:
        ours, theirs = list(_kustomizations(source, read)), list(_kustomizations(target, read))
        pinned = _images([each for each in ours if each not in theirs], read)
        self.pins = self.pins or bool(pinned)
        for name, entry in _images([each for each in theirs if each not in ours], read).items():
            wanted = pinned.get(name)
            if wanted is None or wanted.versions == entry.versions:
                continue
            if extra := [each for each in entry.versions if each not in wanted.versions]:
                says = f"{entry.file}: {entry.path} has `{extra[0]}` for {name}, and {wanted.file} does not"
                self.left.append(f"{says}: change it by hand")
                continue
            changes = {child(entry.path, each): value for each, value in wanted.versions.items()}
            edits.setdefault(entry.file, {}).update(changes)

    def _value_files(
        self, source: tuple[str, ...], target: tuple[str, ...], read: Read, edits: dict[str, dict[str, Scalar]]
    ) -> None:
        """Note the changes to the target's own value files. A pin that none of them has is added to the last one."""
        ours = _pins([each for each in source if each not in target], read)
        self.pins = self.pins or bool(ours)
        own = [each for each in target if each not in source]
        theirs = _pins(own, read)
        for path, (_, value) in ours.items() if own else ():
            file, old = theirs.get(path, (own[-1], None))
            if old != value or type(old) is not type(value):
                edits.setdefault(file, {})[path] = value


@dataclass(frozen=True, slots=True)
class _ImageEntry:
    """One item of `images` of a kustomization, with the fields that decide on the version."""

    file: str
    path: str
    versions: Mapping[str, str]


def _kustomizations(folder: str, read: Read, seen: frozenset[str] = frozenset()) -> Iterator[str]:
    """Yield the kustomization files that a directory consists of, the outermost first."""
    folder = normpath(folder)
    name = next((each for each in (normpath(join(folder, name)) for name in _NAMES) if read(each) is not None), None)
    if name is None or name in seen:
        return
    yield name
    tree = _tree(read(name))
    for key in _BASES:
        for each in array_at(tree, key):
            if isinstance(each, str) and "://" not in each and "\n" not in each:
                yield from _kustomizations(join(folder, each), read, seen | {name})


def _images(files: list[str], read: Read) -> Mapping[str, _ImageEntry]:
    """Return the entries of `images` by name. The outermost kustomization is applied last, so its entry decides."""
    found: dict[str, _ImageEntry] = {}
    for file in files:
        for index, each in enumerate(array_at(_tree(read(file)), "images")):
            if isinstance(each, dict) and "name" in each:
                versions = {name: str(each[name]) for name in _VERSIONS if each.get(name)}
                if versions:
                    found.setdefault(str(each["name"]), _ImageEntry(file, f"images[{index}]", versions))
    return found


def _tree(text: str | None) -> JsonObject:
    """Return a document with every scalar as text: `newTag: 1.10` is not the number 1.1. Empty if it is not YAML."""
    try:
        return object_at(yaml.load(text or "", yaml.BaseLoader))  # noqa: S506 - it makes only texts, lists and mappings
    except (yaml.YAMLError, ValueError, RecursionError):
        return {}


def _pins(files: list[str], read: Read) -> Mapping[str, tuple[str, Scalar]]:
    """Return the versions that value files pin, by path; a later file overrides an earlier one."""
    found: dict[str, tuple[str, Scalar]] = {}
    for file in files:
        documents, _ = read_documents(file, read(file) or "")
        for document in documents[:1]:
            if isinstance(document.tree, dict):
                pins = ((path, value) for path, value in leaves(document.tree) if last_step(path) in PINS)
                found |= {path: (file, value) for path, value in pins if isinstance(value, SCALARS)}
    return found
