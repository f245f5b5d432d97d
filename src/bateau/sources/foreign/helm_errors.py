"""Turn the error output of Helm into problems, each at the place that it is about.

Called by sources.foreign.helm. Helm names templates with line and column, values by JSON pointers, and missing
dependencies by name.
"""

import re
from collections.abc import Callable
from typing import Final

from bateau.domain.problem import Problem
from bateau.kit.json_value import array_at, text_at
from bateau.kit.position import Position, child, item
from bateau.sources.foreign.chart import ChartFiles

_WORDS_MAX: Final = 500
_UNLOADED: Final = re.compile(r"cannot load (?P<file>values\.yaml|Chart\.yaml)").match
_MISSING: Final = re.compile(r"missing in charts/ directory: (?P<names>[^\n]+)").search
_SCHEMA: Final = re.compile(r"^- (?:at )?'?(?P<pointer>/[^':]*|\(root\)|)'?: (?P<says>.+)$", re.MULTILINE)
_SCHEMA_HEAD: Final = "don't meet the specifications of the schema"
_PLACE: Final = re.compile(r"(?P<file>[\w.-]+(?:/[\w. -]+)+):(?P<line>\d+)(?::(?P<column>\d+))?\)?:?\s*")
_NO_YAML: Final = re.compile(
    r"YAML parse error on (?P<file>\S+): (?:error converting YAML to JSON: )?(?P<says>.+)"
).search


def problems_of(words: str, chart: ChartFiles, at: Callable[[str], Position], source: Position) -> list[Problem]:
    """Return the errors of Helm. `at` gives the place of a value ("image.tag"), `source` is the place of the chart."""
    says = _cleaned(words, chart)
    if says.startswith("panic:"):
        says = f"Helm crashed with {says.splitlines()[0]}"
    if missing := _MISSING(says):
        return [_dependency(name.strip(), chart) for name in missing["names"].split(",")]
    if _SCHEMA_HEAD in says and (found := list(_SCHEMA.finditer(says))):
        # Helm prints them in the order of a Go map, which differs each time.
        return sorted((_of_schema(match["pointer"], match["says"], at) for match in found), key=lambda each: each.says)
    if (match := _UNLOADED(says)) and (flaws := chart.flaws(match["file"])):
        return [Problem(where=flaw.position, says=flaw.says, hint=flaw.hint) for flaw in flaws]
    if match := _NO_YAML(says):
        place = chart.place_of(match["file"])
        line = f"the output of the template is not YAML: {_line(match['says'])}"
        hint = f"`helm template {chart.name} --debug` prints the output; its lines differ from those of the template"
        return [Problem(where=place.at(), says=place.says(line), hint=hint)]
    named = [match for match in _PLACE.finditer(says) if chart.text(chart.place_of(match["file"])) is not None]
    if named:
        last = named[-1]  # the innermost template: Helm names the including ones first
        place = chart.place_of(last["file"])
        where = place.at(int(last["line"]), int(last["column"] or 0) + 1)  # Helm counts columns from 0
        return [Problem(where=where, says=place.says(f"Helm cannot render this line: {_line(says[last.end() :])}"))]
    return [Problem(where=source, says=f"Helm cannot render this chart: {_line(says)}")]


def _cleaned(words: str, chart: ChartFiles) -> str:
    lines = [
        line for line in words.splitlines() if not line.startswith(("Use --debug", "level=", "WARNING", "walk.go"))
    ]
    says = "\n".join(lines).replace(str(chart.path), chart.name).removeprefix("Error: ")
    return says.removeprefix("INSTALLATION FAILED: ").strip()


def _line(words: str) -> str:
    return " ".join(words.split())[:_WORDS_MAX]


def _dependency(name: str, chart: ChartFiles) -> Problem:
    where = chart.place("Chart.yaml").at()
    document = chart.document("Chart.yaml")
    if document is not None and not chart.archive:
        listed = array_at(document.tree, "dependencies")
        paths = [item("dependencies", index) for index, each in enumerate(listed) if text_at(each, "name") == name]
        where = document.positions[child(paths[0], "name")] if paths else where
    says = f"the chart depends on `{name}`, which is not in its charts/ directory, and Bateau does not fetch charts"
    hint = f"run `helm dependency build {chart.name}` and commit the result, so that it is reviewed"
    return Problem(where=where, says=says, hint=hint)


def _of_schema(pointer: str, says: str, at: Callable[[str], Position]) -> Problem:
    path = ""
    for step in pointer.split("/")[1:]:
        name = step.replace("~1", "/").replace("~0", "~")
        path = item(path, int(name)) if name.isdigit() else child(path, name)
    hint = "the rule is in values.schema.json of the chart"
    return Problem(where=at(path), says=f"{path or 'the values'}: {says}", hint=hint)
