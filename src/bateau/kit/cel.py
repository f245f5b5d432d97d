"""Evaluate CEL expressions over plain values.

Called by hydrate. The one place that knows which CEL library is used: Google's cel-cpp, through cel-expr-python.
Source: the Common Expression Language specification.

Invariant: an expression sees only the names it was given.
"""

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any


class CelError(ValueError):
    """The expression does not compile or fails; the text is one line, without the library's frame."""


def evaluate(expression: str, names: Mapping[str, Any]) -> Any:
    """Return the plain value of `expression`.

    >>> evaluate("1 + size(words)", {"words": ["a", "b"]})
    3
    >>> evaluate("wrods", {"words": []})
    Traceback (most recent call last):
    ...
    bateau.kit.cel.CelError: undeclared reference to 'wrods'
    """
    try:
        compiled = _environment(tuple(sorted(names))).compile(expression)
    except RuntimeError as error:
        raise CelError(_compile_error(str(error))) from error
    result = compiled.eval(data=dict(names))
    if result.type().name() == "ERROR":
        raise CelError(str(result.plain_value()).partition(": ")[2])
    return result.plain_value()


@lru_cache(maxsize=32)
def _environment(names: tuple[str, ...]) -> Any:
    from cel_expr_python import cel

    return cel.NewEnv(variables=dict.fromkeys(names, cel.Type.DYN))


def _compile_error(text: str) -> str:
    """Return the message alone: the library adds its own frame, place and a picture of the expression."""
    first = text.splitlines()[0]
    return re.sub(r"^.*?ERROR: <input>:\d+:\d+: ", "", first).replace(" (in container '')", "")
