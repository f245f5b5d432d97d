"""Build the problems that the modules of kinds report.

Called by specs.
"""

from collections.abc import Iterable

from bateau.domain.problem import Problem, Severity
from bateau.domain.spec import Spec
from bateau.kit.json_value import ReadJson
from bateau.kit.position import child
from bateau.kit.suggest import suggestion


def at(spec: Spec, path: str, says: str, hint: str, *, severity: Severity = Severity.ERROR) -> Problem:
    """Return a problem at a field of a document."""
    return Problem(where=spec.positions.get(path, spec.position), says=says, hint=hint, severity=severity)


def strings(value: ReadJson, path: str) -> list[tuple[str, str]]:
    """Return the texts of a list or a mapping, with their paths."""
    if isinstance(value, list):
        return [(f"{path}[{i}]", v) for i, v in enumerate(value) if isinstance(v, str)]
    if isinstance(value, dict):
        return [(child(path, k), v) for k, v in value.items() if isinstance(v, str)]
    return []


def ports_hint(name: str, names: Iterable[str]) -> str:
    """Return a hint for a port name that does not exist."""
    return suggestion(name, names, none=f"add `ports: {{{name}: {{protocol: http}}}}`")
