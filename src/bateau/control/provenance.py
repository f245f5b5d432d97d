"""Write and read the origins of the fields of a service and of its manifests.

Called by control.bundle and control.piece.

For each part of its own manifests, Bateau writes the field of the service or the rule that it came from, and it writes
the chains of the service once. For a foreign manifest it writes the chain of every leaf.

Invariant: a chain that was read is equal to the chain that was written. Held by
tests/control/test_packing.py::test_a_bundle_explains_every_leaf_as_it_was_explained_where_it_was_made.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import orjson

from bateau.domain.change import object_name
from bateau.domain.manifest import Manifest
from bateau.domain.origin import Origin, OverlaidOrigins
from bateau.domain.workload import Workload
from bateau.kit.json_value import ReadJson, ReadObject
from bateau.kit.position import Position, leaves
from bateau.render import MarkedOrigins, chain_from


def written(service: Workload, manifests: Iterable[Manifest]) -> bytes:
    """Return the provenance of a service and of its manifests."""
    objects = {object_name(manifest.key): _entries(manifest) for manifest in manifests}
    fields = {path: [_step(step) for step in chain] for path, chain in service.origins.items()}
    return orjson.dumps({"fields": fields, "objects": objects})


def _entries(manifest: Manifest) -> Sequence[ReadJson]:
    """Return (path, field of the service or None, rule or None) of each part, or (path, chain) of each leaf."""
    origins = manifest.origins
    if isinstance(origins, MarkedOrigins):
        return _marked(origins)
    if isinstance(origins, OverlaidOrigins) and isinstance(origins.base, MarkedOrigins):
        return [*_marked(origins.base), *_chains(origins.over.items())]
    return _chains(origins.items())


def _marked(origins: MarkedOrigins) -> Sequence[ReadJson]:
    marks, chains = origins.marks()
    return [*marks, *_chains(chains)] if chains else marks


def _chains(chains: Iterable[tuple[str, tuple[Origin, ...]]]) -> Sequence[ReadJson]:
    return [(path, [_step(step) for step in chain]) for path, chain in chains]


def _step(origin: Origin) -> list[ReadJson]:
    at = origin.at
    place = [at.file, at.line, at.column] if at else None
    return [origin.how, place, _plain(origin.value), origin.says]


def _plain(value: ReadJson) -> ReadJson:
    """Return a value that JSON can hold: an integer beyond 64 bits becomes a string of its digits."""
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        return str(value)
    return value


class Provenance(Mapping[str, tuple[Origin, ...]]):
    """The chains of one manifest, read back. `tree` is the manifest."""

    def __init__(self, packed: bytes, name: str, tree: ReadObject) -> None:
        whole: dict[str, Any] = orjson.loads(packed)
        self._fields = {path: tuple(map(_origin, chain)) for path, chain in whole["fields"].items()}
        self._entries = {entry[0]: entry[1:] for entry in whole["objects"][name]}
        self._leaves = dict(leaves(tree, ""))

    def __getitem__(self, path: str) -> tuple[Origin, ...]:
        value = self._leaves[path]
        try:
            return self._chain(path, value)
        except (KeyError, ValueError, TypeError, AttributeError):
            return (Origin("foreign", None, value, "the bundle does not say where it came from"),)

    def _chain(self, path: str, value: ReadJson) -> tuple[Origin, ...]:
        """Return the chain of the part that contains the leaf. Raises KeyError, ValueError or TypeError without one."""
        around = path
        while around not in self._entries:
            cut = max(around.rfind("."), around.rfind("["))
            if cut < 1:
                raise KeyError(path)
            around = around[:cut]
        entry = self._entries[around]
        if len(entry) == 1:
            return tuple(map(_origin, entry[0]))
        field, says = entry
        if field is None:
            return (Origin("rule", None, value, says),)
        return chain_from(self._fields, field, value, says)

    def __iter__(self) -> Iterator[str]:
        return iter(self._leaves)

    def __len__(self) -> int:
        return len(self._leaves)


def _origin(step: list[Any]) -> Origin:
    how, place, value, says = step
    if place:
        file, line, column = place
        return Origin(how, Position(str(file), int(line), int(column)), value, says)
    return Origin(how, None, value, says)
