"""Trees whose leaves say where they came from, taken apart into a plain tree and its origins.

Called by control.provenance and render.kubernetes.

Invariant: a leaf without a mark cannot be made: `plain` refuses it, so that each leaf of a manifest has a chain. Held
by tests/render/test_marks.py.
Refused: working the chains out at once; most manifests are never explained, and the paths cost more than the values.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Generic, TypeAlias, TypeVar

from bateau.domain.origin import LazyOrigins, Origin, Origins
from bateau.domain.workload import Workload
from bateau.kit.json_value import ReadJson, ReadObject
from bateau.kit.position import below, child, item, leaves

Value_co = TypeVar("Value_co", bound=ReadJson, covariant=True)


@dataclass(frozen=True, slots=True)
class From(Generic[Value_co]):
    """A value, or a whole subtree, taken from a field of the service. `says` tells how it was changed, if it was."""

    value: Value_co
    path: str
    says: str | None = None


@dataclass(frozen=True, slots=True)
class Rule(Generic[Value_co]):
    """A value, or a whole subtree, that a rule of the target makes, with the rule in a few words."""

    value: Value_co
    says: str


Leaf: TypeAlias = From[ReadJson] | Rule[ReadJson]
Marked: TypeAlias = Mapping[str, "Marked"] | Sequence["Marked"] | Leaf
MarkedObject: TypeAlias = dict[str, Marked]


def plain(tree: Marked) -> ReadJson:
    """Return the tree without its marks. Raises TypeError for a leaf that has none."""
    # Leaves without a call: this runs for every leaf of every manifest.
    if isinstance(tree, dict):
        return {key: each.value if isinstance(each, _MARKS) else plain(each) for key, each in tree.items()}
    if isinstance(tree, list):
        return [each.value if isinstance(each, _MARKS) else plain(each) for each in tree]
    if isinstance(tree, _MARKS):
        return tree.value
    raise TypeError(f"a leaf without an origin: {tree!r}")


def plain_object(tree: MarkedObject) -> ReadObject:
    """Return an object without its marks, as `plain` does."""
    return {key: plain(each) for key, each in tree.items()}


_MARKS: Final = (From, Rule)


class MarkedOrigins(LazyOrigins):
    """The chain of every leaf of a marked tree."""

    def __init__(self, tree: Marked, service: Workload) -> None:
        super().__init__(lambda: dict(_chains(tree, "", service)))
        self._tree = tree
        self._service = service

    def marks(self) -> tuple[list["Mark"], list["Chain"]]:
        """Return the marks as they were made, each once, and the chains of leaves whose field has none to refer to."""
        marks: list[Mark] = []
        chains: list[Chain] = []
        _collect_marks(self._tree, "", self._service, marks, chains)
        return marks, chains


# The part of a manifest at a path: taken from a field of the service (None: made by a rule), and the rule in words.
Mark = tuple[str, str | None, str | None]
Chain = tuple[str, tuple[Origin, ...]]


def _chains(tree: Marked, path: str, service: Workload) -> Iterator[Chain]:
    if isinstance(tree, _MARKS):
        for at, value in leaves(tree.value, path):
            yield at, _chain(tree, value, service)
    elif isinstance(tree, dict):
        for key, each in tree.items():
            yield from _chains(each, child(path, key), service)
    elif isinstance(tree, list):
        for index, each in enumerate(tree):
            yield from _chains(each, item(path, index), service)


def _chain(mark: Leaf, value: ReadJson, service: Workload) -> tuple[Origin, ...]:
    if isinstance(mark, Rule):
        return (Origin("rule", None, value, mark.says),)
    return chain_from(service.origins, mark.path, value, mark.says) or _unmade(mark, value, service)


def _collect_marks(tree: Marked, path: str, service: Workload, marks: list[Mark], chains: list[Chain]) -> None:
    places: Iterable[tuple[str, Marked]]
    if isinstance(tree, dict):
        places = [(child(path, key), each) for key, each in tree.items()]
    elif isinstance(tree, list):
        places = [(item(path, index), each) for index, each in enumerate(tree)]
    else:
        return
    for at, each in places:
        if isinstance(each, Rule):
            marks.append((at, None, each.says))
        elif isinstance(each, From):
            if each.path in service.origins or _chain_of(service.origins, each.path):
                marks.append((at, each.path, each.says))
            else:
                chains += _chains(each, at, service)
        else:
            _collect_marks(each, at, service, marks, chains)


def chain_from(origins: Origins, field: str, value: ReadJson, says: str | None) -> tuple[Origin, ...]:
    """Return the chain of a value that was taken from a field, empty where the field has none."""
    chain = _chain_of(origins, field)
    if not chain:
        return ()
    made = next((each for each in reversed(chain) if each.how != "value"), chain[-1])
    if says or made.value != value:
        return (*chain, Origin("rule", None, value, says or "as the target writes it"))
    return chain


def _unmade(mark: From[ReadJson], value: ReadJson, service: Workload) -> tuple[Origin, ...]:
    """Return the chain of a value whose field nobody made: it stands in the document, or is the schema's default."""
    at = service.positions.get(mark.path)
    first = Origin("written" if at else "default", at, value)
    return (first, Origin("rule", None, value, mark.says)) if mark.says else (first,)


def _chain_of(origins: Origins, path: str) -> tuple[Origin, ...]:
    """Return the chain of a field, or of the first leaf below it where it is a mapping or list."""
    if found := origins.get(path):
        return found
    return next((chain for each, chain in origins.items() if below(each, path)), ())
