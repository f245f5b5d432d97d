"""Pack the reading of a file into bytes for a cache, and unpack it, which is faster than parsing the file again.

Called by control.packing.

Invariant: an unpacked reading equals the packed one. Its positions are unpacked only when one of them is needed. Held
by tests/control/test_packing.py::test_warm_equals_cold_whatever_was_there_before.
"""

from collections.abc import Iterator, Mapping

from bateau.domain.spec import Spec
from bateau.kit.json_value import JsonObject
from bateau.kit.packed import packed, unpacked
from bateau.kit.position import Position
from bateau.specs.kinds import KINDS
from bateau.specs.reading import FileReading


class PackedPositions(Mapping[str, Position]):
    """The positions of a document, unpacked at the first access."""

    def __init__(self, file: str, data: bytes) -> None:
        self._file = file
        self._data = data
        self._known: dict[str, Position] | None = None

    def __getitem__(self, path: str) -> Position:
        return self._all()[path]

    def __iter__(self) -> Iterator[str]:
        return iter(self._all())

    def __len__(self) -> int:
        return len(self._all())

    def _all(self) -> dict[str, Position]:
        if self._known is None:
            places: dict[str, tuple[int, int]] = unpacked(self._data) or {}
            self._known = {path: Position(self._file, line, column) for path, (line, column) in places.items()}
        return self._known


def pack_reading(reading: FileReading) -> bytes | None:
    """Return a reading as bytes; None if it has errors or warnings. Such a file is parsed each time."""
    if reading.problems or reading.unsound or reading.doubtful:
        return None
    specs = [
        (
            spec.kind,
            spec.name,
            spec.tree,
            (spec.position.line, spec.position.column),
            packed({path: (at.line, at.column) for path, at in spec.positions.items()}),
        )
        for spec in reading.specs
    ]
    return packed((reading.foreign, specs))


def unpack_reading(file: str, data: bytes) -> FileReading | None:
    """Return the reading of a file from its bytes; None if they are damaged."""
    if (found := unpacked(data)) is None:
        return None
    foreign, specs = found
    if any(kind not in KINDS for kind, *_ in specs):
        return None
    return FileReading(file=file, specs=tuple(_spec(file, *each) for each in specs), foreign=foreign)


def _spec(file: str, kind: str, name: str, tree: JsonObject, place: tuple[int, int], positions: bytes) -> Spec:
    return Spec(
        definition=KINDS[kind],
        name=name,
        tree=tree,
        position=Position(file, *place),
        positions=PackedPositions(file, positions),
    )
