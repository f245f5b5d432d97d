"""Find the values on which the leaves of a rendered chart depend: change one value, render again, and compare.

Called by sources.foreign.helm and sources.foreign.helm_chain. It runs on demand. The values of the spec are tried one
by one; those of value files and of the chart itself in groups that are halved, because most of them change nothing.

Invariant: the search is limited in number and time, and counts the values that were not tried. A rendering that fails
proves nothing. Held by tests/sources/foreign/test_helm.py::test_where_the_bounds_end_the_search_the_chain_says_so.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from bateau.kit.json_value import ReadJson, ReadObject, Scalar, array_at, object_at, part_at
from bateau.kit.position import leaves, nearest, steps
from bateau.sources.foreign.chart import ChartFiles
from bateau.sources.foreign.chart_values import ChartValues, Value, merged
from bateau.sources.foreign.helm_lines import Line, find_lines
from bateau.sources.foreign.moves import TRIALS_MAX, TRIALS_S_MAX
from bateau.sources.foreign.program import Ran
from bateau.sources.foreign.rendering import Rendering, differing, gone, moving, read_rendering

_DEFAULTS_TRIALS_MAX: Final = 3 * TRIALS_MAX
# The schema of the values would reject many changes; these renderings are only compared.
_LENIENT: Final = "--skip-schema-validation"


@dataclass(frozen=True, slots=True)
class Mover:
    """A value that a leaf depends on; `whole`: with another value, the whole object does not exist."""

    value: Value
    whole: bool


class HelmTrace:
    """The search for one chart with its values; it runs once, on the first question."""

    def __init__(
        self,
        values: ChartValues,
        chart: ChartFiles,
        template: Callable[..., Ran],
        rendering: Rendering,
        unstable: Mapping[int, frozenset[str]],
    ) -> None:
        self._values = values
        self._template = template
        self._defaults: ReadObject = {}
        self._movers: dict[int, dict[str, list[Mover]]] | None = None
        self._lines: Mapping[int, Mapping[str, Line]] | None = None
        self._trials = 0
        self._deadline = 0.0
        self.chart = chart
        self.rendering = rendering
        self.unstable = unstable
        self.untried = 0

    def movers(self, number: int) -> Mapping[str, Sequence[Mover]]:
        """Return the values that the leaves of an object depend on, by the names of the leaves."""
        if self._movers is None:
            self._movers = {}
            self._search()
        return self._movers.get(number, {})

    def line(self, number: int, name: str) -> Line | None:
        """Return the line of the template that gave a leaf, if it is known."""
        if self._lines is None:
            self._lines = find_lines(
                self.chart, lambda copy: self._template(self._values.written, _LENIENT, copy=copy), self.rendering
            )
        return self._lines.get(number, {}).get(name)

    def _search(self) -> None:
        self._deadline = time.monotonic() + TRIALS_S_MAX
        document = self.chart.document("values.yaml")
        brought = object_at(document.tree if document else None)
        self._defaults = merged((brought, self._values.from_files))
        for value in self._values.of_spec():
            if _changed(value.value) is not None:
                self._try([value], trials_max=TRIALS_MAX)
        self._halve([value for value in self._values.of_files() if _changed(value.value) is not None])
        positions = document.positions if document and not self.chart.archive else {}
        self._halve(
            [
                Value(
                    path,
                    f"{path} of the chart's values.yaml",
                    nearest(positions, path, self.chart.place("values.yaml").at()),
                    value,
                )
                for path, value in leaves(brought)
                if _changed(value) is not None and not _overridden(self._values.merged, steps(path))
            ]
        )

    def _halve(self, values: Sequence[Value]) -> None:
        """Try a group, and its halves if any leaf depends on it or the rendering fails."""
        if not values or not self._try(values, trials_max=_DEFAULTS_TRIALS_MAX) or len(values) == 1:
            return
        middle = len(values) // 2
        self._halve(values[:middle])
        self._halve(values[middle:])

    def _try(self, values: Sequence[Value], *, trials_max: int) -> bool:
        """Render with changed values, and return whether to try the halves. A single value is noted with its leaves."""
        if self._trials >= trials_max or time.monotonic() > self._deadline:
            self.untried += len(values)
            return False
        self._trials += 1
        tree = self._values.written
        for each in values:
            tree = object_at(_with(tree, self._defaults, steps(each.path), _changed(each.value)))
        ran = self._template(tree, _LENIENT)
        if ran.failed:
            return True
        before, text = differing(self.rendering, ran.out)
        after, problems = read_rendering(text, self.chart)
        if problems:
            return True
        changed = moving(before, after)
        if len(values) == 1:
            self._note(values[0], changed, gone(before, after))
        return bool(changed)

    def _note(self, value: Value, changed: Mapping[int, frozenset[str]], lost: set[int]) -> None:
        assert self._movers is not None  # noqa: S101 - the search has begun
        for number, names in changed.items():
            mover = Mover(value, whole=number in lost)
            for name in names - self.unstable.get(number, frozenset()):
                self._movers.setdefault(number, {}).setdefault(name, []).append(mover)


def _changed(value: ReadJson) -> Scalar:
    """Return another value of the same type, or None for an empty collection.

    >>> [_changed(value) for value in (True, 3, 0.5, "web", "", "8080", "true", None, {})]
    [False, 4, 1.5, 'web-x', 'x', '8081', 'false', 'x', None]
    """
    if isinstance(value, bool):
        return not value
    if isinstance(value, int | float):
        return value + 1
    if isinstance(value, str):
        if value in {"true", "false"}:
            return "false" if value == "true" else "true"
        return str(int(value) + 1) if value.isdecimal() else f"{value}-x" if value else "x"
    return "x" if value is None else None


def _overridden(values: ReadJson, path: Sequence[str | int]) -> bool:
    """Whether values override a path of the chart's values; a list there replaces the whole list."""
    for step in path:
        if not isinstance(values, dict):
            return True
        if step not in values:
            return False
        values = part_at(values, step)
    return True


def _with(tree: ReadJson, defaults: ReadJson, path: Sequence[str | int], value: ReadJson) -> ReadJson:
    """Return values with one of them changed. A list of the chart is repeated whole: Helm does not merge lists."""
    head, *rest = path
    if isinstance(head, int):
        items: list[ReadJson] = [*(array_at(tree) or array_at(defaults))]
        items[head] = _with(items[head], items[head], rest, value) if rest else value
        return items
    changed: dict[str, ReadJson] = {**object_at(tree)}
    below = object_at(defaults).get(head)
    changed[head] = _with(changed.get(head), below, rest, value) if rest else value
    return changed
