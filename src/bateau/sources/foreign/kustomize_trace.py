"""Find the origins of the values of a built kustomization: the file of the object, and the entries that changed it.

Called by sources.foreign.kustomize and sources.foreign.kustomize_chain. It runs on demand. A copy of all files is built
in which each object is marked with the number of its document. Then the copy is built once more for each entry that
changes objects (a patch, an image, a prefix, ...), without that entry: the values that differ are set by it.

Invariant: a chain claims only what a build has shown, and says so if the search ended early. Held by
tests/sources/foreign/test_kustomize.py::test_where_the_bounds_end_the_search_the_chain_says_so.
Refused: kustomize's own originAnnotations, which name the patch of a patched object (checked with 5.8.1).
"""

import contextlib
import functools
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from bateau.domain.problem import Problem
from bateau.kit.json_value import ReadJson, ReadObject, array_at, object_at, part_at
from bateau.kit.position import child, item, steps
from bateau.kit.yaml_go import KUSTOMIZE
from bateau.kit.yaml_writer import write, write_document
from bateau.sources.foreign.kustomization import GENERATORS, Kustomization, Walk
from bateau.sources.foreign.moves import TRIALS_MAX, TRIALS_S_MAX, Aligned, aligned, moved
from bateau.sources.foreign.objects import Found, read_objects
from bateau.sources.foreign.program import Ran
from bateau.sources.foreign.tree import Tree

_MARK: Final = "bateau.dev/document"
# The fields that change objects, in the order in which kustomize applies them.
_IN_LISTS: Final = (
    *GENERATORS, "patchesStrategicMerge", "patches", "patchesJson6902", "labels", "replicas", "images", "replacements",
    "transformers",
)  # fmt: skip
_IN_MAPPINGS: Final = ("commonLabels", "commonAnnotations")
_HEAD: Final = frozenset(("apiVersion", "kind", "metadata"))
_ALONE: Final = ("namespace", "namePrefix", "nameSuffix", "generatorOptions")


@dataclass(frozen=True, slots=True)
class Entry:
    """An entry of a kustomization file that generates or changes objects."""

    kustomization: Kustomization
    path: str

    @property
    def value(self) -> ReadJson:
        """Its content."""
        found: ReadJson = self.kustomization.tree
        for step in steps(self.path):
            found = part_at(found, step)
        return found


@dataclass(slots=True)
class Traced:
    """The origin of one object: its document or its generator, and the entries that changed it."""

    original: Found | None = None
    generator: Entry | None = None
    leaves: Aligned = field(default_factory=dict[str, tuple[str, ReadJson]])
    movers: dict[str, list[Entry]] = field(default_factory=dict[str, list[Entry]])


class KustomizeTrace:
    """The search for one kustomization; it runs once, on the first question."""

    def __init__(self, tree: Tree, made_of: Walk, build: Callable[[Path], Ran]) -> None:
        self._tree = tree
        self._made_of = made_of
        self._build = build
        self._originals: list[Found] = []
        self._generators: dict[str, Entry] = {}
        self._traced: dict[tuple[str, str, str, str], Traced] | None = None
        self._searched = False
        self.untried = 0

    @property
    def top(self) -> Kustomization:
        """The kustomization that was asked for."""
        return self._made_of.kustomizations[0]

    def of(self, found: Found) -> Traced:
        """Return everything that is known about an object, after a search."""
        if not self._searched:
            self._searched = True
            self._in_copy(self._search)
        return (self._traced or {}).get(found.key) or Traced()

    def source(self, found: Found) -> Found | Entry | None:
        """Return the document that an object was, or the generator that made it; None if neither is known.

        Kind and name decide, which needs no build: prefixes, suffixes and hashes surround a name. If they fit several
        documents, one build with marked documents decides.
        """
        same = [each for each in self._documents if each.kind == found.kind]
        named = [each for each in same if each.name == found.name] or [e for e in same if e.name in found.name]
        made = [each for each in self._made if str(object_at(each.value).get("name")) in found.name]
        if len(named) == 1:
            return named[0]
        if not named and len(made) == 1:
            return made[0]
        if self._traced is None:
            self._in_copy(None)
        traced = (self._traced or {}).get(found.key)
        return (traced.original or traced.generator) if traced else None

    @functools.cached_property
    def _documents(self) -> list[Found]:
        read = (read_objects(name, self.text(name), dialect=KUSTOMIZE) for name in self._made_of.resources)
        return [each for found, _ in read for each in found]

    def text(self, name: str) -> str:
        """Return the content of one of the files, or an empty text if it cannot be read."""
        text = self._tree.text(name, where=None)
        return "" if isinstance(text, Problem) else text

    @functools.cached_property
    def _made(self) -> list[Entry]:
        entries = (entry for each in self._made_of.kustomizations for entry in entries_of(each))
        return [entry for entry in entries if entry.path.startswith(GENERATORS)]

    def _in_copy(self, then: Callable[[Path, Mapping[str, Found]], None] | None) -> None:
        """Build a copy with marked documents, note what each object was, and continue with the copy."""
        self._traced = {}
        if self._made_of.linked:  # a copy would need the links, too
            return
        # If a file was removed meanwhile, or the disk is full, the origins found so far remain.
        with contextlib.suppress(OSError), tempfile.TemporaryDirectory(prefix="bateau-kustomize-") as folder:
            work = Path(os.path.realpath(folder))
            self._copy(work)
            base = self._built(work)
            if base is None:
                return
            for mark, each in base.items():
                original = self._originals[int(mark)] if mark.isdigit() else None
                generator = self._generators.get(mark)
                self._traced[each.key] = Traced(original=original, generator=generator, leaves=_unmarked(each))
            if then:
                then(work, base)

    def _search(self, work: Path, base: Mapping[str, Found]) -> None:
        by_mark = {mark: _unmarked(each) for mark, each in base.items()}
        entries = [entry for each in reversed(self._made_of.kustomizations) for entry in entries_of(each)]
        deadline = time.monotonic() + TRIALS_S_MAX
        for number, entry in enumerate(entries):
            if number >= TRIALS_MAX or time.monotonic() > deadline:
                self.untried = len(entries) - number
                return
            self._without(work, entry, base, by_mark)

    def _without(self, work: Path, entry: Entry, base: Mapping[str, Found], by_mark: Mapping[str, Aligned]) -> None:
        """Build without one entry, and note the values of each object that differ."""
        path = work / entry.kustomization.name
        kept = path.read_bytes()
        tree = object_at(_less(self._marked_generators(entry.kustomization), steps(entry.path)))
        if tree.keys() <= _HEAD:  # kustomize rejects an empty file; this option has no effect
            tree = {**tree, "generatorOptions": {"disableNameSuffixHash": False}}
        path.write_text(write_document(tree), encoding="utf-8")
        after = self._built(work)
        path.write_bytes(kept)
        if after is None or self._traced is None:
            return  # without the entry there is no build, and nothing to compare
        for mark, each in base.items():
            if mark not in after:
                continue
            for name in moved(by_mark[mark], _unmarked(after[mark])):
                self._traced[each.key].movers.setdefault(name, []).append(entry)

    def _copy(self, work: Path) -> None:
        """Copy all files, objects and generators with their marks."""
        self._originals.clear()
        for name in sorted(self._made_of.files):
            path = work / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes((self._tree.root / name).read_bytes())
        for name in self._made_of.resources:
            found, problems = read_objects(name, self.text(name), dialect=KUSTOMIZE)
            if problems or not found:
                continue
            (work / name).write_text(write(self._marked(found)), encoding="utf-8")
        for each in self._made_of.kustomizations:
            (work / each.name).write_text(write_document(self._marked_generators(each)), encoding="utf-8")

    def _marked(self, found: Sequence[Found]) -> Iterator[ReadObject]:
        for each in found:
            metadata = {
                **object_at(each.tree, "metadata"),
                "annotations": {**each.annotations, _MARK: str(len(self._originals))},
            }
            self._originals.append(each)
            yield {**each.tree, "metadata": metadata}

    def _marked_generators(self, kustomization: Kustomization) -> ReadObject:
        """Return a kustomization whose generators mark their objects; annotations do not change the hashes in names."""
        tree: dict[str, ReadJson] = dict(kustomization.tree)
        for name in GENERATORS:
            if name not in tree:
                continue
            marked: list[ReadJson] = []
            for index, each in enumerate(array_at(tree[name])):
                entry = Entry(kustomization, item(name, index))
                mark = f"{kustomization.name} {entry.path}"
                self._generators[mark] = entry
                options = object_at(each, "options")
                annotations = {**object_at(options, "annotations"), _MARK: mark}
                marked.append({**object_at(each), "options": {**options, "annotations": annotations}})
            tree[name] = marked
        return tree

    def _built(self, work: Path) -> dict[str, Found] | None:
        """Return the objects of a build by their marks, or None if it fails."""
        ran = self._build(work / self.top.folder)
        if ran.failed:
            return None
        found, _ = read_objects(self.top.name, ran.out)
        marked = {str(each.annotations.get(_MARK)): each for each in found if _MARK in each.annotations}
        for each in found:
            # A patch that replaces all annotations removes the mark; kind and name may still identify the object.
            if _MARK not in each.annotations and (mark := self._likely(each, marked)):
                marked[mark] = each
        return marked

    def _likely(self, found: Found, taken: Mapping[str, Found]) -> str | None:
        """Return the mark of the document of an object if there is only one candidate."""
        marks = [
            str(number)
            for number, each in enumerate(self._originals)
            if str(number) not in taken and each.kind == found.kind and each.name in found.name
        ]
        return marks[0] if len(marks) == 1 else None


def entries_of(kustomization: Kustomization) -> Iterator[Entry]:
    """Yield the entries of a kustomization that generate or change objects, in the order in which they are applied."""
    tree = kustomization.tree
    for name in _IN_LISTS:
        for index in range(len(array_at(tree, name))):
            yield Entry(kustomization, item(name, index))
    for name in _ALONE:
        if name in tree:
            yield Entry(kustomization, name)
    for name in _IN_MAPPINGS:
        for key in object_at(tree.get(name)):
            yield Entry(kustomization, child(name, key))


def _less(tree: ReadJson, path: Sequence[str | int]) -> ReadJson:
    """Return a tree without an entry, and without every collection that this leaves empty."""
    head, *rest = path
    left = _less(part_at(tree, head), rest) if rest else None
    if isinstance(tree, dict):
        return {key: left if key == head else each for key, each in tree.items() if key != head or left}
    items = enumerate(tree) if isinstance(tree, list) else ()
    return [left if index == head else each for index, each in items if index != head or left]


def _unmarked(found: Found) -> Aligned:
    """Return the leaves of an object without its mark."""
    return {name: leaf for name, leaf in aligned(found.tree).items() if _MARK not in name}
