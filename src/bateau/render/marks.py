"""Trees whose leaves say where they came from, taken apart into a plain tree and its origins.

Called by control.provenance and render.kubernetes.

Invariant: a leaf without a mark cannot be made: `plain` refuses it, so that each leaf of a manifest has a chain. Held
by tests/render/test_marks.py.
Refused: working the chains out at once; most manifests are never explained, and the paths cost more than the values.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final, cast

from bateau.domain.origin import LazyOrigins, Origin, Origins
from bateau.domain.workload import Workload
from bateau.kit.position import below, child, item


@dataclass(frozen=True, slots=True)
class From:
    """A value, or a whole subtree, taken from a field of the service. `says` tells how it was changed, if it was."""

    value: Any
    path: str
    says: str | None = None


@dataclass(frozen=True, slots=True)
class Rule:
    """A value, or a whole subtree, that a rule of the target makes, with the rule in a few words."""

    value: Any
    says: str


def plain(tree: Any) -> Any:
    """Return the tree without its marks. Raises TypeError for a leaf that has none."""
    # By exact type, and leaves without a call: this runs for every leaf of every manifest.
    kind = cast("type[Any]", type(tree))
    if kind is dict:
        return {key: each.value if type(each) in _MARKS else plain(each) for key, each in tree.items()}
    if kind is list:
        return [each.value if type(each) in _MARKS else plain(each) for each in tree]
    if kind in _MARKS:
        return tree.value
    raise TypeError(f"a leaf without an origin: {tree!r}")


_MARKS: Final = frozenset((From, Rule))


class MarkedOrigins(LazyOrigins):
    """The chain of every leaf of a marked tree."""

    def __init__(self, tree: Any, service: Workload) -> None:
        super().__init__(lambda: dict(_chains(tree, "", None, service)))
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


def _chains(
    tree: Any, path: str, mark: From | Rule | None, service: Workload
) -> Iterator[tuple[str, tuple[Origin, ...]]]:
    if isinstance(tree, From | Rule):
        yield from _chains(tree.value, path, tree, service)
    elif isinstance(tree, dict) and tree:
        for key, value in cast("dict[str, Any]", tree).items():
            yield from _chains(value, child(path, key), mark, service)
    elif isinstance(tree, list) and tree:
        for index, each in enumerate(cast("list[Any]", tree)):
            yield from _chains(each, item(path, index), mark, service)
    elif isinstance(mark, Rule):
        yield path, (Origin("rule", None, tree, mark.says),)
    elif mark is not None:
        chain = chain_from(service.origins, mark.path, tree, mark.says)
        yield path, chain or _unmade(mark, tree, service)


def _collect_marks(tree: Any, path: str, service: Workload, marks: list[Mark], chains: list[Chain]) -> None:
    places: Iterable[tuple[str, Any]]
    if type(tree) is dict:
        places = [(child(path, key), each) for key, each in cast("dict[str, Any]", tree).items()]
    elif type(tree) is list:
        places = [(item(path, index), each) for index, each in enumerate(cast("list[Any]", tree))]
    else:
        return
    for at, each in places:
        kind = cast("type[Any]", type(each))
        if kind is Rule:
            marks.append((at, None, each.says))
        elif kind is From:
            if each.path in service.origins or _chain_of(service.origins, each.path):
                marks.append((at, each.path, each.says))
            else:
                chains += _chains(each, at, None, service)
        else:
            _collect_marks(each, at, service, marks, chains)


def chain_from(origins: Origins, field: str, value: Any, says: str | None) -> tuple[Origin, ...]:
    """Return the chain of a value that was taken from a field, empty where the field has none."""
    chain = _chain_of(origins, field)
    if not chain:
        return ()
    made = next((each for each in reversed(chain) if each.how != "value"), chain[-1])
    if says or made.value != value:
        return (*chain, Origin("rule", None, value, says or "as the target writes it"))
    return chain


def _unmade(mark: From, value: Any, service: Workload) -> tuple[Origin, ...]:
    """Return the chain of a value whose field nobody made: it stands in the document, or is the schema's default."""
    at = service.positions.get(mark.path)
    first = Origin("written" if at else "default", at, value)
    return (first, Origin("rule", None, value, mark.says)) if mark.says else (first,)


def _chain_of(origins: Origins, path: str) -> tuple[Origin, ...]:
    """Return the chain of a field, or of the first leaf below it where it is a mapping or list."""
    if found := origins.get(path):
        return found
    return next((chain for each, chain in origins.items() if below(each, path)), ())
