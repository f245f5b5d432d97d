"""Read the values of an App for a chart: value files first, `values` of the spec last, each leaf with its place.

Called by sources.foreign.helm, sources.foreign.helm_trace and sources.foreign.helm_unstable. Helm gets the files
unchanged. Files are read and merged as by Helm: maps key by key, anything else as a whole.

Invariant: the place of a value is in the last layer that sets it. Held by tests/sources/foreign/test_chart_values.py.
Refused: passing one merged file to Helm; Bateau's reading of YAML, not Helm's, would then decide the values.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from bateau.domain.chart import Chart
from bateau.domain.problem import Problem
from bateau.domain.workload import Workload
from bateau.kit.json_value import ReadJson, ReadObject, array_at, object_at, part_at
from bateau.kit.position import Position, item, leaves, nearest, steps
from bateau.kit.yaml_go import KUBECTL
from bateau.kit.yaml_tree import read_documents
from bateau.sources.foreign.kustomization import is_elsewhere
from bateau.sources.foreign.naming import directory_of, named_at
from bateau.sources.foreign.tree import FILE_BYTES_MAX, OUTSIDE_HINT, Tree

_FILES: Final = "spec.chart.valueFiles"
_VALUES: Final = "spec.chart.values"


@dataclass(frozen=True, slots=True)
class Value:
    """A leaf of the values: `path` in them, its name in messages, its place, and the value."""

    path: str
    called: str
    at: Position
    value: ReadJson


class Layer(Protocol):
    """Values that override those of the layers before."""

    @property
    def tree(self) -> ReadObject:
        """The values."""
        ...

    def of(self, path: str) -> tuple[str, Position]:
        """Return the name of a value in messages, and its place."""
        ...


@dataclass(frozen=True, slots=True)
class _FileLayer:
    """One document of a value file."""

    tree: ReadObject
    file: str
    positions: Mapping[str, Position]

    def of(self, path: str) -> tuple[str, Position]:
        return f"{path} of {self.file}", nearest(self.positions, path, Position(self.file, 1, 1))


@dataclass(frozen=True, slots=True)
class _SpecLayer:
    """The values of the spec."""

    tree: ReadObject
    service: Workload

    def of(self, path: str) -> tuple[str, Position]:
        full = _VALUES if not path else f"{_VALUES}{path}" if path.startswith("[") else f"{_VALUES}.{path}"
        return full, named_at(self.service, full)


class ChartValues:
    """The values of one App for one chart: `files` are passed to Helm, `written` are the values of the spec."""

    def __init__(self, files: Sequence[Path], layers: Sequence[Layer], written: ReadObject) -> None:
        self.files = tuple(files)
        self.written = written
        self._layers = tuple(layers)
        self.from_files = merged(layer.tree for layer in self._layers[:-1])
        self.merged = merged(layer.tree for layer in self._layers)

    def at(self, path: str) -> Position:
        """Return the place of a value, or the nearest place in the spec if it is not set."""
        return self._giver(path).of(path)[1]

    def of_files(self) -> Iterator[Value]:
        """Yield every leaf that a value file sets."""
        yield from (value for value, layer in self._leaves() if layer is not self._layers[-1])

    def of_spec(self) -> Iterator[Value]:
        """Yield every leaf that the spec sets."""
        yield from (value for value, layer in self._leaves() if layer is self._layers[-1])

    def _leaves(self) -> Iterator[tuple[Value, Layer]]:
        for path, value in leaves(self.merged):
            giver = self._giver(path)
            called, at = giver.of(path)
            yield Value(path, called, at, value), giver

    def _giver(self, path: str) -> Layer:
        at = steps(path)
        return next((layer for layer in reversed(self._layers) if _holds(layer.tree, at)), self._layers[-1])


def read_values(tree: Tree, service: Workload, chart: Chart) -> ChartValues | list[Problem]:
    """Return the values that the spec names, or all problems of their files."""
    problems: list[Problem] = []
    files: list[Path] = []
    layers: list[Layer] = []
    for index, named in enumerate(chart.value_files):
        where = named_at(service, item(_FILES, index))
        name = _named(tree, named, below=directory_of(service), where=where)
        found = name if isinstance(name, Problem) else _read(tree, name, where)
        if isinstance(found, Problem):
            problems.append(found)
        elif isinstance(name, str):
            files.append(tree.root / name)
            layers += [layer for layer in found if isinstance(layer, _FileLayer)]
            problems += [flaw for flaw in found if isinstance(flaw, Problem)]
    if problems:
        return problems
    written = object_at(chart.values)
    return ChartValues(files, [*layers, _SpecLayer(written, service)], written)


def merged(trees: Iterable[ReadObject]) -> ReadObject:
    """Return merged values; the last one wins.

    >>> merged([{"a": {"x": 1, "y": [1, 2]}, "b": 1}, {"a": {"y": [3]}, "b": None}])
    {'a': {'x': 1, 'y': [3]}, 'b': None}
    """
    whole: dict[str, ReadJson] = {}
    for tree in trees:
        for key, value in tree.items():
            both = isinstance(value, dict) and isinstance(whole.get(key), dict)
            whole[key] = merged((object_at(whole[key]), object_at(value))) if both else value
    return whole


def _named(tree: Tree, named: str, *, below: str, where: Position) -> str | Problem:
    """Return the name of a value file below the tree, or the problem with it."""
    if is_elsewhere(named):
        hint = "copy the file into the repository and name the copy"
        return Problem(where=where, says=f"`{named}` is remote, and Bateau does not fetch value files", hint=hint)
    name = tree.named(named, below=below)
    if name is None:
        return Problem(where=where, says=f"`{named}` is outside the directory of the specs", hint=OUTSIDE_HINT)
    if (tree.root / name).is_dir():
        return Problem(where=where, says=f"`{named}` is a directory", hint="name a YAML file with values")
    if not (tree.root / name).is_file():
        hint = tree.instead(name) or f"paths are relative to the file of the App; Bateau looked for `{name}`"
        return Problem(where=where, says=f"`{named}` does not exist", hint=hint)
    return name


def _read(tree: Tree, name: str, where: Position) -> "list[_FileLayer | Problem] | Problem":
    """Return the documents of a value file in order, and its problems."""
    text = tree.text(name, where=where)
    if isinstance(text, Problem):
        return text
    documents, unread = read_documents(name, text, bytes_max=FILE_BYTES_MAX, dialect=KUBECTL)
    flaws = [flaw for each in (*documents, *unread) for flaw in each.flaws]
    found: list[_FileLayer | Problem] = [Problem(where=each.position, says=each.says, hint=each.hint) for each in flaws]
    for document in documents:
        values = document.tree
        if values is None or isinstance(values, dict):
            found.append(_FileLayer(object_at(values), name, document.positions))
        else:
            says = "a value file is a map of values"
            found.append(Problem(where=document.position, says=says, hint="write `key: value` lines"))
    return found


def _holds(tree: ReadJson, path: Sequence[str | int]) -> bool:
    for step in path:
        inside = step in object_at(tree) if isinstance(step, str) else step < len(array_at(tree))
        if not inside:
            return False
        tree = part_at(tree, step)
    return True
