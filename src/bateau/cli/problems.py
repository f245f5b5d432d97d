"""Format problems for a terminal: the position, the services and environments, the message, and a hint with the fix.

Called by cli.
"""

from collections.abc import Iterable

from bateau.api.encoding import plain
from bateau.domain.errors import BateauError
from bateau.domain.problem import Problem
from bateau.kit.json_value import ReadJson, object_at, text_at, texts_at
from bateau.kit.suggest import listed
from bateau.kit.visible import visible


def render(problems: Iterable[Problem]) -> str:
    """Return one or two lines per problem.

    >>> from bateau.kit.position import Position
    >>> print(render([Problem(where=Position("chat.yaml", 7, 14), says="it is wrong", hint="fix it")]))
    chat.yaml:7:14  it is wrong
      hint: fix it
    >>> print(render([Problem(where=None, says="it is wrong", services=("app/a",), environments=("prod", "staging"))]))
    app/a in prod, staging: it is wrong
    """
    return render_trees([plain(problem) for problem in problems])


def error_text(error: BateauError) -> str:
    """Return the message of an error, and its hint."""
    return f"{error.message}\n  hint: {error.hint}" if error.hint else error.message


def render_trees(trees: Iterable[ReadJson]) -> str:
    """Return the same for problems in their JSON form."""
    return "\n".join(_one(tree) for tree in trees)


def _one(tree: ReadJson) -> str:
    where, hinted = object_at(tree, "where"), text_at(tree, "hint")
    place = f"{where['file']}:{where['line']}:{where['column']}  " if where else ""
    warning = "warning: " if text_at(tree, "severity") == "warning" else ""
    services, environments = listed(texts_at(tree, "services")), listed(texts_at(tree, "environments"))
    about = " ".join(each for each in (services, f"in {environments}" if environments else "") if each)
    hint = f"\n  hint: {hinted}" if hinted else ""
    return visible(f"{place}{warning}{about}{': ' if about else ''}{text_at(tree, 'says')}{hint}")
