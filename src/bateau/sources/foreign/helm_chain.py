"""Turn the results of a search into the chain of each leaf of an object of a chart: values first, the template last.

Called by sources.foreign.helm. A file of crds/ is not a template: its leaves have their own places.

Invariant: every leaf has a chain, and its last step gave the value; a step says if its origin is not known. Held by
tests/sources/foreign/test_helm.py.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Final

from bateau.domain.origin import Origin
from bateau.kit.position import Position, below, leaves
from bateau.sources.foreign.helm_trace import HelmTrace, Mover
from bateau.sources.foreign.moves import same, untried
from bateau.sources.foreign.objects import read_objects
from bateau.sources.foreign.rendering import Rendered

_CRDS: Final = re.compile(r"(?:^|/)crds/").search


def chains(rendered: Rendered, trace: HelmTrace) -> Mapping[str, tuple[Origin, ...]]:
    """Return the chain of every leaf of an object."""
    text = trace.chart.text(rendered.place) or ""
    made = dict(_as_written(rendered, text))
    for name, (path, value) in rendered.leaves.items():
        if path not in made:
            movers = trace.movers(rendered.number).get(name, ())
            at, says = _template(rendered, name, trace)
            if name in trace.unstable.get(rendered.number, ()):
                says = f"{says}; different at each rendering"
            made[path] = (*untried(trace.untried), *map(_step, movers), Origin("foreign", at, value, says))
    return made


class TemplatePlaces:
    """Satisfies domain.origin.Places for an object of a chart.

    The place of the object is its template, known without another rendering; that of a value is its line there, for
    which the chart is rendered once more.
    """

    def __init__(self, rendered: Rendered, trace: HelmTrace) -> None:
        self._rendered = rendered
        self._trace = trace

    def at(self, path: str) -> Position:
        """Return the line of the template that gave a value, or the first one below it, else the template."""
        rendered = self._rendered
        written = dict(_as_written(rendered, self._trace.chart.text(rendered.place) or ""))
        if chain := written.get(path or "metadata.name"):
            return chain[-1].at or rendered.place.at()
        given = {at: name for name, (at, _) in rendered.leaves.items()} if path else {}
        name = given.get(path) or next((name for at, name in given.items() if below(at, path)), None)
        return rendered.place.at() if name is None else _template(rendered, name, self._trace)[0]

    def key_at(self, path: str) -> None:
        """Return nothing: a rendering shows the line of a value, but not the column of its name."""


def _as_written(rendered: Rendered, text: str) -> Iterator[tuple[str, tuple[Origin, ...]]]:
    """Yield the chains of an object of a file in crds/, which Helm prints unchanged."""
    if not _CRDS(rendered.source):
        return
    found, _ = read_objects(rendered.place.file, text, written=False)
    written = next((each for each in found if each.key == rendered.found.key), None)
    if written is None:
        return
    values = dict(leaves(written.tree))
    for path, value in rendered.leaves.values():
        if path in values and same(values[path], value):
            at = written.at(path)
            says = rendered.place.says("unchanged") if rendered.place.inside else None
            yield path, (Origin("foreign", rendered.place.at(at.line, at.column), value, says),)


def _step(mover: Mover) -> Origin:
    verb = "the object depends on" if mover.whole else "depends on"
    return Origin("value", mover.value.at, mover.value.value, f"{verb} {mover.value.called}")


def _template(rendered: Rendered, name: str, trace: HelmTrace) -> tuple[Position, str]:
    """Return the line of the template that gave a leaf if it is known, else the beginning of the template."""
    line = trace.line(rendered.number, name)
    if line is None:
        return rendered.place.at(), rendered.place.says("template; the line is not known")
    said = f"line {line.line} of the template" if line.place.inside else "template"
    said = f"{said}; at or below this line" if line.below else said
    return line.place.at(line.line, line.column), line.place.says(said)
