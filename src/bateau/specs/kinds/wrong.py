"""What the modules of kinds share to say what does not fit together in a document.

Called by specs.
"""

from collections.abc import Iterable
from typing import Any, cast

from bateau.domain.problem import Problem, Severity
from bateau.domain.spec import Spec
from bateau.kit.position import child
from bateau.kit.suggest import closest, listed


def at(spec: Spec, path: str, says: str, hint: str, *, severity: Severity = Severity.ERROR) -> Problem:
    """Return a problem at a field of a document."""
    return Problem(where=spec.positions.get(path, spec.position), says=says, hint=hint, severity=severity)


def strings(value: Any, path: str) -> list[tuple[str, str]]:
    """Return the texts of a list or a mapping, with their paths."""
    if isinstance(value, list):
        return [(f"{path}[{i}]", v) for i, v in enumerate(cast("list[Any]", value)) if isinstance(v, str)]
    if isinstance(value, dict):
        return [(child(path, k), v) for k, v in cast("dict[str, Any]", value).items() if isinstance(v, str)]
    return []


def ports_hint(name: str, names: Iterable[str]) -> str:
    """Return how to mend a name of a port that is not there."""
    listed_names = list(names)
    near = closest(name, listed_names)
    if near:
        return f"did you mean `{near}`?"
    return f"there is: {listed(listed_names)}" if listed_names else f"add `ports: {{{name}: {{protocol: http}}}}`"
