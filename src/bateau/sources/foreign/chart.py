"""Read the files of a Helm chart, in a directory or an archive, by the names that Helm gives them.

Called by sources.foreign. Helm names a file by the chart and its path in it ("shop/charts/redis/templates/x.yaml");
people find it below the directory of the specs.

Invariant: a chart with links that lead out of the tree is refused: Helm would follow them and print the content. Held
by tests/sources/foreign/test_helm.py::test_a_link_out_of_the_tree_is_not_shown_to_helm.
"""

import os
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final

from bateau.domain.problem import Problem
from bateau.kit.json_value import array_at, object_at
from bateau.kit.position import Flaw, Position
from bateau.kit.yaml_go import KUBECTL
from bateau.kit.yaml_tree import Document, Unread, read_documents
from bateau.sources.foreign.tree import FILE_BYTES_MAX, OUTSIDE_HINT, Tree

ARCHIVES: Final = (".tgz", ".tar.gz")
_ENTRIES_MAX: Final = 10_000
_ARCHIVE_BYTES_MAX: Final = 64 * 2**20


@dataclass(frozen=True, slots=True)
class Place:
    """A file of a chart: the file below the tree, and the path inside it if that is an archive."""

    file: str
    inside: str | None = None

    def at(self, line: int = 1, column: int = 1) -> Position:
        """Return a position in it; an archive has only one."""
        return Position(self.file, 1, 1) if self.inside else Position(self.file, line, column)

    def says(self, words: str) -> str:
        """Return a message about it, after the path in the archive."""
        return f"{self.inside} in the archive: {words}" if self.inside else words


class ChartFiles:
    """A chart, named by its directory or archive below the tree."""

    def __init__(self, tree: Tree, name: str) -> None:
        self._tree = tree
        self._archives: dict[str, dict[str, str]] = {}
        self.name = name
        self.path = tree.root / name
        self.archive = name.endswith(ARCHIVES)

    def place(self, inside: str) -> Place:
        """Return the place of a file of the chart itself: "values.yaml"."""
        return Place(self.name, inside) if self.archive else Place(str(PurePosixPath(self.name, inside)))

    def place_of(self, source: str) -> Place:
        """Return the place of the file that Helm names "shop/templates/x.yaml", or of the chart if it is not found."""
        _, _, rest = source.partition("/")
        if self.archive:
            return Place(self.name, rest)
        return self._below(self.name, rest) or Place(self.name, rest)

    def text(self, place: Place) -> str | None:
        """Return the content of a file, or None if it cannot be read."""
        if place.inside:
            return self._members(place.file).get(place.inside)
        text = self._tree.text(place.file, where=None)
        return None if isinstance(text, Problem) else text

    def members(self) -> Iterator[tuple[str, str]]:
        """Yield the path in the archive and the content of each file."""
        yield from self._members(self.name).items()

    def document(self, inside: str) -> Document | None:
        """Return the first document of a file of the chart itself, even with errors in it."""
        documents, _ = self._read(inside)
        return documents[0] if documents else None

    def flaws(self, inside: str) -> list[Flaw]:
        """Return the YAML errors in a file of the chart itself."""
        documents, unread = self._read(inside)
        return [flaw for each in (*documents, *unread) for flaw in each.flaws]

    def _read(self, inside: str) -> tuple[list[Document], list[Unread]]:
        place = self.place(inside)
        text = self.text(place) or ""
        return read_documents(place.file, text, bytes_max=FILE_BYTES_MAX, dialect=KUBECTL)

    def templates(self) -> Iterator[str]:
        """Yield the text of every template, including those of its subcharts."""
        yield from (text for name, text in self._texts() if "/templates/" in f"/{name}")

    def value_files(self) -> Iterator[str]:
        """Yield the text of every values.yaml, including those of its subcharts."""
        yield from (text for name, text in self._texts() if PurePosixPath(name).name == "values.yaml")

    def _texts(self) -> Iterator[tuple[str, str]]:
        """Yield path and text of every file; the path is relative to the chart, or to an archive in it."""
        if self.archive:
            yield from self.members()
            return
        for path in sorted(self.path.rglob("*")):
            inside = path.relative_to(self.path).as_posix()
            name = str(PurePosixPath(self.name, inside))
            if path.name.endswith(ARCHIVES):
                yield from self._members(name).items()
            elif path.is_file():
                yield inside, self.text(Place(name)) or ""

    def unsound(self, where: Position) -> Problem | None:
        """Return the reason not to render the chart: links that lead out of the tree, or too many files."""
        if self.archive:
            return None
        count = 0
        for folder, folders, files in os.walk(self.path):
            count += len(folders) + len(files)
            if count > _ENTRIES_MAX:
                says = f"the chart {self.name} has more than {_ENTRIES_MAX:,} files"
                return Problem(where=where, says=says)
            for name in sorted((*folders, *files)):
                path = Path(folder, name)
                if path.is_symlink() and self._tree.name_of(path) is None:
                    link = PurePosixPath(self.name, path.relative_to(self.path).as_posix())
                    says = f"the link `{link}` leads out of the directory of the specs"
                    return Problem(where=where, says=says, hint=OUTSIDE_HINT)
        return None

    def _below(self, folder: str, rest: str) -> Place | None:
        """Find `rest` in the chart at `folder`: in the chart itself, or in a subchart by name or alias."""
        name = str(PurePosixPath(folder, rest))
        if (self._tree.root / name).is_file():
            return Place(name)
        top, _, below = rest.partition("/")
        called, _, below = below.partition("/")
        if top != "charts" or not below:
            return None
        charts = self._tree.root / folder / "charts"
        for real in (called, *self._named(folder, called)):
            if (charts / real).is_dir():
                return self._below(f"{folder}/charts/{real}", below)
            for archive in sorted(charts.glob(f"{real}-*.tgz")):
                return Place(f"{folder}/charts/{archive.name}", below)
        return None

    def _named(self, folder: str, alias: str) -> list[str]:
        """Return the name of the subchart with an alias."""
        text = self.text(Place(f"{folder}/Chart.yaml"))
        documents, _ = read_documents("Chart.yaml", text or "", dialect=KUBECTL)
        listed = array_at(documents[0].tree, "dependencies") if documents else []
        return [str(object_at(each).get("name")) for each in listed if object_at(each).get("alias") == alias]

    def _members(self, name: str) -> dict[str, str]:
        """Return the texts of an archive by their paths in it, without the top directory."""
        if name not in self._archives:
            self._archives[name] = dict(_members_of(self._tree.root / name))
        return self._archives[name]


def _members_of(path: Path) -> Iterator[tuple[str, str]]:
    total = 0
    try:
        with tarfile.open(path, "r:*") as archive:
            for member in archive:
                total += member.size
                if total > _ARCHIVE_BYTES_MAX:
                    return
                content = archive.extractfile(member) if member.isreg() else None
                if content is not None:
                    yield member.name.partition("/")[2], content.read().decode("utf-8", "surrogateescape")
    except (OSError, tarfile.TarError, EOFError):
        return  # Helm reports the error
