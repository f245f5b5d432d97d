"""How a mistake looks in a terminal: the place, what is wrong, and how to mend it.

Called by every command that reads specs, and by `up` and `status` for what the control plane reports.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from bateau.api.encoding import plain
from bateau.domain.problem import Problem
from bateau.kit.visible import visible


def render(problems: Iterable[Problem]) -> str:
    """Return one or two lines for each problem.

    >>> from bateau.kit.position import Position
    >>> print(render([Problem(where=Position("chat.yaml", 7, 14), says="it is wrong", hint="mend it")]))
    chat.yaml:7:14  it is wrong
      hint: mend it
    """
    return render_trees([plain(problem) for problem in problems])


def render_trees(trees: Iterable[Mapping[str, Any]]) -> str:
    """Return the same for problems in their JSON form."""
    return "\n".join(_one(tree) for tree in trees)


def _one(tree: Mapping[str, Any]) -> str:
    where = tree["where"]
    place = f"{where['file']}:{where['line']}:{where['column']}  " if where else ""
    warning = "warning: " if tree["severity"] == "warning" else ""
    hint = f"\n  hint: {tree['hint']}" if tree["hint"] else ""
    return visible(f"{place}{warning}{tree['says']}{hint}")
