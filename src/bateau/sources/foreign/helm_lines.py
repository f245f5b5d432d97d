"""Find the line of the template that gave a value: every line of a copy of the chart has its number as a comment.

Called by sources.foreign.helm_trace. A comment at the end of a line follows the line, also through `include`, and
changes no value; so the rendering of the copy shows the lines without a guess.

Invariant: a value that differs in the marked copy (a checksum, a text over many lines) has no line. Held by
tests/sources/foreign/test_helm.py::test_where_a_comment_changes_the_value_its_line_is_not_known.
Refused: searching the line by its text; a label of a selector looks like the same label of the metadata.
"""

import contextlib
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final

from bateau.domain.problem import Problem
from bateau.kit.position import Position
from bateau.sources.foreign.chart import ChartFiles, Place
from bateau.sources.foreign.moves import same
from bateau.sources.foreign.objects import Found
from bateau.sources.foreign.program import Ran
from bateau.sources.foreign.rendering import Rendered, Rendering, partners, read_rendering

_ENDINGS: Final = (".yaml", ".yml", ".tpl")
_ROUNDS_MAX: Final = 6
_MARK: Final = re.compile(r" # bateau\.dev/line (?P<number>\d+)$")
# A key with its value, or a list item. A line that begins with an action may render to nothing, so it has no comment.
_MARKABLE: Final = re.compile(
    r"\s*(?:-\s+)*(?:[\w./$-]+|\"[^\"{]*\"|'[^'{]*'|[\w./-]*\{\{[^-].*\}\}):(?:\s.*)?|\s*-\s+[^\s{#].*|\s*-\s+\{\{[^-].*"
).fullmatch
_BLOCK: Final = re.compile(r".*(?::|-)\s+[|>][-+\d]*\s*").fullmatch


@dataclass(frozen=True, slots=True)
class Line:
    """A line of a template, with the column of the value, or of the key that the value is `below`."""

    place: Place
    line: int
    column: int
    below: bool


def find_lines(
    chart: ChartFiles, render: Callable[[Path], Ran], rendering: Rendering
) -> Mapping[int, Mapping[str, Line]]:
    """Return the lines of the leaves of a rendering, by the number of the object and the name of the leaf."""
    # If the disk is full, or links form a circle, no line is known.
    with contextlib.suppress(OSError), tempfile.TemporaryDirectory(prefix="bateau-chart-") as work:
        folder = Path(work, "chart")
        _copy(chart, folder)
        templates = {path.relative_to(folder).as_posix(): _text(path) for path in _templates(folder)}
        for _ in range(_ROUNDS_MAX):
            marked = _Marked(chart, templates)
            for inside, text in templates.items():
                (folder / inside).write_text(marked.texts.get(inside, text), "utf-8", "surrogateescape")
            ran = render(folder)
            after, problems = read_rendering(ran.out, chart)
            if not ran.failed and not problems:
                return marked.lines(rendering, after)
            # A template that a comment breaks is left unmarked; the error names it, or the template that includes it.
            harmed = [inside for inside in templates if _speaks_of(inside, ran.failed, problems)]
            harmed = harmed or [inside for inside in templates if inside.endswith(".tpl")]
            if not harmed:
                break
            templates = {inside: text for inside, text in templates.items() if inside not in harmed}
            _restore(folder, chart, harmed)
    return {}


class _Marked:
    """Templates with a number after each line that can have a comment."""

    def __init__(self, chart: ChartFiles, templates: Mapping[str, str]) -> None:
        self._lines: list[tuple[Place, int, str]] = []
        self.texts = {inside: self._marked(chart.place(inside), text) for inside, text in templates.items()}

    def lines(self, before: Rendering, after: Rendering) -> Mapping[int, Mapping[str, Line]]:
        """Return the lines of the leaves that are the same."""
        found = partners(before, after)
        return {
            each.number: dict(self._of(each, found[each.number], after))
            for each in before.objects
            if each.number in found
        }

    def _of(self, before: Rendered, marked: Rendered, after: Rendering) -> Iterator[tuple[str, Line]]:
        for name, (path, value) in marked.leaves.items():
            if name not in before.leaves or not same(before.leaves[name][1], value):
                continue
            for at, below in _places(marked.found, path):
                if match := _MARK.search(after.lines[at.line - 1]):
                    yield name, self._line(int(match["number"]), at, after, below=below)
                    break

    def _line(self, mark: int, at: Position, after: Rendering, *, below: bool) -> Line:
        place, number, text = self._lines[mark]
        # The distance from the key to the value is that of the output, whatever the indentation of both is; the value
        # of an action is placed at the action.
        column = _indent(text) + at.column - _indent(after.lines[at.line - 1])
        return Line(place, number, min(column, text.find("{{") + 1 or column), below)

    def _marked(self, place: Place, text: str) -> str:
        marked: list[str] = []
        block: int | None = None  # the indent of a key whose text spans several lines
        depth = 0  # of unclosed actions
        for number, line in enumerate(text.split("\n"), start=1):
            if block is not None and line.strip() and _indent(line) <= block:
                block = None
            opened = depth
            depth += line.count("{{") - line.count("}}")
            bears = block is None and opened == depth == 0 and _MARKABLE(line) and not line.rstrip().endswith("-}}")
            if bears:
                marked.append(f"{line} # bateau.dev/line {len(self._lines)}")
                self._lines.append((place, number, line))
            else:
                marked.append(line)
            if block is None and _BLOCK(line):
                block = _indent(line)
        return "\n".join(marked)


def _places(found: Found, path: str) -> Iterator[tuple[Position, bool]]:
    """Yield the place of a value, then of each key around it: an action with several lines of output has no mark."""
    if at := found.exactly_at(path):
        yield at, False
    while path := path[: max(path.rfind("."), path.rfind("["), 0)]:
        if at := found.key_at(path):
            yield at, True


def _copy(chart: ChartFiles, folder: Path) -> None:
    if not chart.archive:
        shutil.copytree(chart.path, folder)
        return
    for inside, text in chart.members():
        path = folder / inside
        if path.resolve().is_relative_to(folder.resolve()):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, "utf-8", "surrogateescape")


def _restore(folder: Path, chart: ChartFiles, names: list[str]) -> None:
    for inside in names:
        text = chart.text(chart.place(inside)) or ""
        (folder / inside).write_text(text, "utf-8", "surrogateescape")


def _templates(folder: Path) -> list[Path]:
    return [
        path
        for path in sorted(folder.rglob("*"))
        if path.suffix in _ENDINGS and "templates" in PurePosixPath(path.relative_to(folder)).parts and path.is_file()
    ]


def _text(path: Path) -> str:
    return path.read_bytes().decode("utf-8", "surrogateescape").replace("\r\n", "\n")


def _speaks_of(inside: str, failed: str | None, problems: list[Problem]) -> bool:
    told = [problem.where.file for problem in problems if problem.where]
    return inside in (failed or "") or any(file.endswith(inside) for file in told)


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())
