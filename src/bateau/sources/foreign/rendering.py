"""Read the output of `helm template` as objects that know their template, and compare two outputs.

Called by sources.foreign.
"""

import re
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Final

from bateau.domain.problem import Problem
from bateau.kit.yaml_go import KUBECTL
from bateau.sources.foreign.chart import ChartFiles, Place
from bateau.sources.foreign.moves import Aligned, aligned, moved
from bateau.sources.foreign.objects import Found, read_objects

_HELM: Final = replace(KUBECTL, last_wins=True)  # of equal keys, as for Helm and kubectl
_SOURCE_LINE: Final = re.compile(r"^---\n# Source: (?P<source>[^\n]+)$", re.MULTILINE)


@dataclass(frozen=True, eq=False)
class Rendered:
    """An object with its number, and its template: the name that Helm prints, and the place of the file."""

    number: int
    found: Found
    source: str
    place: Place

    @cached_property
    def leaves(self) -> Aligned:
        """Its leaves, by names that the order of lists does not change."""
        return aligned(self.found.tree)


@dataclass(frozen=True, eq=False)
class Rendering:
    """All objects of an output, in Helm's order, and its lines."""

    objects: tuple[Rendered, ...]
    lines: tuple[str, ...]


def read_rendering(text: str, chart: ChartFiles) -> tuple[Rendering, list[Problem]]:
    """Return the objects of an output, and its problems, each at the template that it comes from."""
    text = _with_line_feeds(text)
    parts = _parts(text)
    first_lines = [part.line for part in parts]
    found, wrong = read_objects("helm template", text, dialect=_HELM, written=False)

    def source_at(line: int) -> str:
        return parts[bisect_right(first_lines, line) - 1].source

    problems: list[Problem] = []
    for each in wrong:
        line = each.where.line if each.where else 1
        place = chart.place_of(source_at(line))
        says = place.says(f"the output of the template is not a manifest: {each.says}")
        hint = f"line {line} of the output of `helm template {chart.name}`"
        problems.append(Problem(where=place.at(), says=says, hint=hint))
    objects: list[Rendered] = []
    for number, each in enumerate(found):
        source = source_at(each.document.position.line)
        objects.append(Rendered(number, each, source, chart.place_of(source)))
    return Rendering(tuple(objects), tuple(text.split("\n"))), problems


def differing(rendering: Rendering, text: str) -> tuple[Rendering, str]:
    """Return the objects of the documents that another output of the same chart has otherwise, and their text there.

    Both are whole if the outputs do not have the same templates in the same order.
    """
    text = _with_line_feeds(text)
    before, after = _parts("\n".join(rendering.lines)), _parts(text)
    if [part.source for part in before] != [part.source for part in after]:
        return rendering, text
    numbers = {number for number, (one, other) in enumerate(zip(before, after, strict=True)) if one.text != other.text}
    first_lines = [part.line for part in before]
    objects = (
        each
        for each in rendering.objects
        if bisect_right(first_lines, each.found.document.position.line) - 1 in numbers
    )
    return replace(rendering, objects=tuple(objects)), "".join(after[number].text for number in sorted(numbers))


@dataclass(frozen=True, slots=True)
class _Part:
    """A document of an output: its first line, its template (none before the first one), and its text."""

    line: int
    source: str
    text: str


def _parts(text: str) -> list[_Part]:
    found: list[_Part] = []
    line, start, source = 1, 0, ""
    for match in _SOURCE_LINE.finditer(text):
        found.append(_Part(line, source, text[start : match.start()]))
        line += text.count("\n", start, match.start())
        start, source = match.start(), match["source"]
    return [*found, _Part(line, source, text[start:])]


def _with_line_feeds(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")


def moving(before: Rendering, after: Rendering) -> Mapping[int, frozenset[str]]:
    """Return the names of the leaves that differ, by the number of their object.

    All leaves of an object that is gone differ. An object with a new name is recognised by its template.
    """
    pairs = partners(before, after)
    changed: dict[int, frozenset[str]] = {}
    for each in before.objects:
        partner = pairs.get(each.number)
        names = moved(each.leaves, partner.leaves) if partner else each.leaves
        if names:
            changed[each.number] = frozenset(names)
    return changed


def gone(before: Rendering, after: Rendering) -> set[int]:
    """Return the numbers of the objects that no longer exist."""
    return {each.number for each in before.objects} - set(partners(before, after))


def partners(before: Rendering, after: Rendering) -> dict[int, Rendered]:
    """Return the object of `after` that corresponds to each of `before`: by key, else by template, kind and order."""
    by_key = {each.found.key: each for each in after.objects}
    pairs = {each.number: by_key[each.found.key] for each in before.objects if each.found.key in by_key}
    taken = {each.number for each in pairs.values()}
    lost = _by_template(each for each in before.objects if each.number not in pairs)
    left = _by_template(each for each in after.objects if each.number not in taken)
    for template, objects in lost.items():
        others = left.get(template, [])
        if len(objects) == len(others):
            pairs |= {each.number: other for each, other in zip(objects, others, strict=True)}
    return pairs


def _by_template(objects: Iterable[Rendered]) -> dict[tuple[str, str], list[Rendered]]:
    found: defaultdict[tuple[str, str], list[Rendered]] = defaultdict(list)
    for each in objects:
        found[each.source, each.found.kind[1]].append(each)
    return dict(found)
