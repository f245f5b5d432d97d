"""Turn what a search has shown of an object of a kustomization into the chain of each of its leaves.

Called by kustomize, for the origins of its manifests.

Invariant: every leaf has a chain, and its last step gave the value; what is not known is said in its words.
"""

from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any, Final

from bateau.domain.origin import Origin
from bateau.kit.position import Position, below, child, item, leaves, steps
from bateau.kit.yaml_go import KUSTOMIZE
from bateau.kit.yaml_tree import Document, read_documents
from bateau.sources.foreign.kustomize_trace import Entry, KustomizeTrace, Traced
from bateau.sources.foreign.moves import Aligned, aligned, same, untried
from bateau.sources.foreign.objects import Found, mapping, sequence

_UNKNOWN: Final = "set by the kustomization; which of its entries is not known"


def chains(found: Found, trace: KustomizeTrace) -> Mapping[str, tuple[Origin, ...]]:
    """Return the chain of every leaf of an object."""
    traced = trace.of(found)
    original = aligned(traced.original.tree) if traced.original else aligned({})
    return {
        path: tuple(_chain(name, value, traced=traced, original=original, trace=trace))
        for name, (path, value) in aligned(found.tree).items()
    }


class BuiltPlaces:
    """Satisfies domain.origin.Places for an object of a kustomization.

    The place of the object is its document or its generator, and the place of a value that the kustomization did not
    change is in that document: neither needs a search. The place of a changed value does.
    """

    def __init__(self, found: Found, trace: KustomizeTrace) -> None:
        self._found = found
        self._trace = trace

    def at(self, path: str) -> Position:
        """Return the place of a value, or of the nearest thing around it."""
        source = self._trace.source(self._found)
        original = source if isinstance(source, Found) else None
        if not path:
            return _beginning(source, self._trace)
        known = dict(leaves(original.tree)) if original else {}
        given = [(at, value) for at, value in leaves(self._found.tree) if at == path or below(at, path)]
        changed = next((at for at, value in given if at not in known or not same(known[at], value)), None)
        if original and not changed:
            return original.at(path)
        chain = chains(self._found, self._trace).get(changed or "", ())
        return next((each.at for each in reversed(chain) if each.at), _beginning(source, self._trace))

    def key_at(self, path: str) -> Position | None:
        """Return the place of a field's name in the document that the object was."""
        source = self._trace.source(self._found)
        return source.key_at(path) if isinstance(source, Found) else None


def _beginning(source: Found | Entry | None, trace: KustomizeTrace) -> Position:
    if isinstance(source, Found):
        return source.at("metadata.name")
    return source.kustomization.at(source.path) if source else Position(trace.top.name, 1, 1)


def _chain(name: str, value: Any, *, traced: Traced, original: Aligned, trace: KustomizeTrace) -> list[Origin]:
    chain: list[Origin] = []
    if traced.original and name in original:
        path, before = original[name]
        chain.append(Origin("foreign", traced.original.at(path), before))
    # Only where the marked build had the same value does what moved there speak of this one.
    known = name in traced.leaves and same(traced.leaves[name][1], value)
    movers = [each for each in traced.movers.get(name, []) if known and each != traced.generator]
    if traced.generator and (name == "metadata.name" or not movers):
        chain.append(_generated(traced.generator, name, value if not movers else None, trace))
    for number, entry in enumerate(movers, start=1):
        own = entry.value
        shown = value if number == len(movers) or isinstance(own, dict | list) else own
        chain.append(Origin("foreign", _entry_at(entry, name, value, trace), shown, f"set by `{entry.path}`"))
    if not chain or not same(chain[-1].value, value):
        chain = [*untried(trace.untried), *chain]
        chain.append(Origin("foreign", Position(trace.top.name, 1, 1), value, _UNKNOWN))
    return chain


def _generated(entry: Entry, name: str, value: Any, trace: KustomizeTrace) -> Origin:
    """Return where a leaf of a generated object is written: a literal, a file, a line of an env file, or the entry.

    Without a value, the name in the entry is it.
    """
    says = f"made by `{entry.path}`"
    at = entry.kustomization.at(entry.path)
    if name == "metadata.name":
        own = mapping(entry.value).get("name")
        return Origin("foreign", entry.kustomization.at(child(entry.path, "name")), value or own, says)
    path = steps(name)
    if path[0] not in {"data", "binaryData"}:
        return Origin("foreign", at, value, says)
    key = str(path[-1])
    for index, literal in enumerate(sequence(mapping(entry.value).get("literals"))):
        if str(literal).startswith(f"{key}="):
            return Origin("foreign", _below(entry, "literals", index), value, says)
    for named in sequence(mapping(entry.value).get("files")):
        own, _, file = str(named).rpartition("=")
        if key == (own or PurePosixPath(file).name):
            where = Position(str(PurePosixPath(entry.kustomization.folder, file)), 1, 1)
            return Origin("foreign", where, value, f"{says}, from the whole file")
    for file in [*sequence(mapping(entry.value).get("envs")), mapping(entry.value).get("env")]:
        if where := _env_line(entry, key, file, trace):
            return Origin("foreign", where, value, says)
    return Origin("foreign", at, value, says)


def _env_line(entry: Entry, key: str, file: Any, trace: KustomizeTrace) -> Position | None:
    if not isinstance(file, str):
        return None
    name = str(PurePosixPath(entry.kustomization.folder, file))
    for number, line in enumerate(trace.text(name).split("\n"), start=1):
        if line.startswith(f"{key}="):
            return Position(name, number, len(key) + 2)
    return None


def _entry_at(entry: Entry, name: str, value: Any, trace: KustomizeTrace) -> Position:
    """Return the place of an entry; of a patch the place of the value, where it stands there exactly once."""
    at = entry.kustomization.at(entry.path)
    if not entry.path.startswith("patches"):
        found = [entry.kustomization.at(path) for path, each in leaves(entry.value, entry.path) if same(each, value)]
        return found[0] if len(found) == 1 else at
    file = entry.value if isinstance(entry.value, str) else mapping(entry.value).get("path")
    if not isinstance(file, str) or "\n" in file:
        return entry.kustomization.at(child(entry.path, "patch"))  # it stands in the entry itself
    patch = str(PurePosixPath(entry.kustomization.folder, file))
    documents, _ = read_documents(patch, trace.text(patch), dialect=KUSTOMIZE)
    found = [at for document in documents for at in _places(document, name, value)]
    return found[0] if len(found) == 1 else Position(patch, 1, 1)


def _places(document: Document, name: str, value: Any) -> list[Position]:
    """Return where a patch has a value under the last step of a path, or as the value of an operation of JSON Patch."""
    last = name.rsplit(".", 1)[-1].rsplit("]", 1)[-1] or name
    return [
        document.positions[path]
        for path, each in leaves(document.tree)
        if same(each, value) and path in document.positions and path.endswith((last, ".value"))
    ]


def _below(entry: Entry, name: str, index: int) -> Position:
    return entry.kustomization.at(item(child(entry.path, name), index))
