"""Evaluate the expressions of one document, in the order of their dependencies.

Called by hydrate.services. It runs after the patches.

Invariant: an expression sees the final document. An expression that reads its own result is an error. Held by
tests/hydrate/test_environments.py.
Invariant: every leaf that an expression produced has its chain: the expression, and the values that it read. Held by
tests/hydrate/test_environments.py::test_every_way_to_read_a_value_is_in_the_chain.
Refused: one pass in the order of the text. A field's value would depend on its position in the file.
"""

from collections.abc import Callable, Mapping
from typing import Final

from bateau.domain.expression import paths_read, reads_variables
from bateau.domain.origin import Origin
from bateau.domain.problem import Problem
from bateau.domain.spec import Spec
from bateau.hydrate.environments import Context, missing_value, values_read
from bateau.hydrate.expressions import expand, names_hint, names_in
from bateau.hydrate.patches import names_for
from bateau.kit.cel import CelError
from bateau.kit.cel_reading import Path
from bateau.kit.json_value import ReadJson, ReadObject, object_at
from bateau.kit.position import Position, below, child, item, leaves, nearest
from bateau.kit.suggest import listed, suggestion

_OF_PORTS: Final = ("spec.command[", "spec.env.", "spec.env[", "metadata.annotations")
_NO_PORTS: Final = "`ports` is available in spec.command, spec.env and metadata.annotations only"
_CIRCLE: Final = "it reads a field whose value depends on this one"


class Evaluation:
    """The expressions of one document. An expression that reads other fields waits until they have their values.

    `origins` has the chains of all leaves; the chains of evaluated leaves are added to it.
    """

    def __init__(
        self, spec: Spec, found: Context, origins: dict[str, tuple[Origin, ...]], positions: Mapping[str, Position]
    ) -> None:
        self._names: ReadObject = {}
        self._found = found
        self._origins = origins
        self._positions = positions
        self._spec = spec
        self._waiting: dict[str, str] = {}  # texts by path
        self._withheld: dict[str, Origin] = {}  # by path: the expression whose result depends on `env()`

    def expanded(self, metadata: ReadObject, body: ReadObject, wrong: list[Problem]) -> tuple[ReadObject, ReadObject]:
        """Return both with their expressions evaluated, and record the origins of each result."""
        self._see(metadata, body)
        metadata, body = (
            object_at(_changed(part, path, lambda at, text: self._at_once(at, text, wrong)))
            for path, part in (("metadata", metadata), ("spec", body))
        )
        while self._waiting:
            self._see(metadata, body)
            failed: dict[str, CelError] = {}
            made = {path: value for path, text in self._waiting.items() if (value := self._now(path, text, failed))}
            if not made:
                for path, text in self._waiting.items():
                    self._tell(path, text, failed.get(path) or CelError(_CIRCLE), wrong)
                break
            for path in made:
                del self._waiting[path]
            metadata, body = (
                object_at(_put(part, path, made)) for path, part in (("metadata", metadata), ("spec", body))
            )
        return metadata, body

    def withheld(self, tree: ReadObject) -> dict[str, ReadJson]:
        """Return the leaves of the document that depend on `env()`, by path."""
        if not self._withheld:
            return {}
        return {
            path: value
            for part in ("metadata", "spec")
            for path, value in leaves(tree.get(part), part)
            if self._of(path)
        }

    def _see(self, metadata: ReadObject, body: ReadObject) -> None:
        # The runtime replaces these placeholders when it assigns port numbers.
        words = {name: f"{{port:{name}}}" for name in object_at(body, "ports")}
        self._names = {**names_for(self._spec, self._found), "metadata": metadata, "spec": body, "ports": words}

    def _at_once(self, path: str, text: str, wrong: list[Problem]) -> ReadJson:
        """Return the value of a text, or the text itself if its expressions have to wait, or fail."""
        if ("spec" in text or "metadata" in text) and names_in(text) & {"spec", "metadata"}:
            self._waiting[path] = text
            return text
        if "ports" in text and not path.startswith(_OF_PORTS) and "ports" in names_in(text):
            self._tell(path, text, CelError(_NO_PORTS), wrong)
            return text
        try:
            result = expand(text, self._names, variables=self._found.variables)
        except CelError as error:
            self._tell(path, text, error, wrong)
            return text
        self._note(path, text, result)
        return result

    def _now(self, path: str, text: str, failed: dict[str, CelError]) -> tuple[ReadJson] | None:
        """Return the value of a waiting text; None if it reads another waiting text, or fails."""
        try:
            result = expand(text, self._names, variables=self._found.variables)
        except CelError as error:
            failed[path] = error
            return None
        read = [each for _, each in leaves(result) if isinstance(each, str) and "${" in each]
        if any(raw in each for each in read for raw in self._waiting.values()):
            return None
        self._note(path, text, result)
        return (result,)

    def _tell(self, path: str, text: str, error: CelError, wrong: list[Problem]) -> None:
        says, hint = self._explained(text, error)
        where = nearest(self._positions, path, self._spec.position)
        wrong.append(Problem(where=where, says=f"{path}: {says}", hint=hint))

    def _explained(self, text: str, error: CelError) -> tuple[str, str | None]:
        """Return the message and hint for a failed expression. The usual cause is a missing value."""
        if self._found.name is None and self._found.others and "values" in names_in(text):
            hint = f"choose one with --env: {listed(self._found.others)}"
            return "it reads `values`, but no environment was chosen", hint
        if "not found in map" in str(error) and (missing := missing_value(text, self._found)):
            around, key, there = missing
            return f"{around} has no `{key}`", suggestion(key, there, none=f"{around} is empty")
        return str(error), names_hint(error, self._names)

    def _note(self, path: str, text: str, result: ReadJson) -> None:
        chain = self._origins.get(path, ())
        last = chain[-1] if chain else None
        read = values_read(text, self._found)
        passed_on = self._passed_on(text)
        self._origins.pop(path, None)
        for leaf, value in leaves(result, path):
            made = Origin("expression", last.at if last else None, value, text.strip())
            self._origins[leaf] = (*chain[:-1], made, *read, *passed_on)
            if passed_on or reads_variables(text):
                self._withheld[leaf] = made

    def _passed_on(self, text: str) -> list[Origin]:
        """Return the expressions that read `env()` and whose results a text reads."""
        if not self._withheld:
            return []
        paths = [_path(path) for path in paths_read(text) if path.name in ("metadata", "spec")]
        return [made for leaf, made in self._withheld.items() if any(_overlap(leaf, path) for path in paths)]

    def _of(self, path: str) -> bool:
        return any(_overlap(path, leaf) for leaf in self._withheld)


def _path(read: Path) -> str:
    """Return the path of a field that an expression reads, as text."""
    path = read.name
    for step in read.steps:
        path = item(path, step) if isinstance(step, int) else child(path, step)
    return path


def _overlap(one: str, other: str) -> bool:
    return one == other or below(one, other) or below(other, one)


def _changed(value: ReadJson, path: str, change: Callable[[str, str], ReadJson]) -> ReadJson:
    """Return the value with `change` applied to every text that contains an expression.

    Parts without expressions are returned as they are, without a copy.
    """
    if isinstance(value, dict):
        made = {key: _changed(each, child(path, key), change) for key, each in value.items()}
        return value if all(made[key] is value[key] for key in value) else made
    if isinstance(value, list):
        listed = [_changed(each, item(path, index), change) for index, each in enumerate(value)]
        return value if all(new is old for new, old in zip(listed, value, strict=True)) else listed
    return change(path, value) if isinstance(value, str) and "${" in value else value


def _put(value: ReadJson, path: str, made: Mapping[str, tuple[ReadJson]]) -> ReadJson:
    """Return the value with the results in `made` put at their paths."""

    def put(at: str, text: str) -> ReadJson:
        return made[at][0] if at in made else text

    return _changed(value, path, put)
