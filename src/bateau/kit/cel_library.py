"""Compile CEL expressions: the one module that knows which CEL library is used.

Called by kit. The library is Google's cel-cpp, through cel-expr-python. Its string functions, optionals and macros are
joined by Kubernetes' libraries (cel_kubernetes) and by the caller's functions. Sources: the Common Expression Language
specification; Kubernetes' "CEL in Kubernetes".

Invariant: an expression sees only the names that it was given. Held by
tests/kit/test_cel.py::test_functions_of_the_caller_join_the_dialect.
Refused: the library's math, base64, bindings and protobuf extensions; an API server has none of them.
"""

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from bateau.kit.cel_function import Function
from bateau.kit.cel_kubernetes import KUBERNETES

if TYPE_CHECKING:
    from cel_expr_python.cel import Env, Expression, Overload, Type

LENGTH_MAX: Final = 4096


class CelError(ValueError):
    """The expression does not compile, or fails. The text is one line, without the library's frame."""


@lru_cache(maxsize=8192)
def program(expression: str, names: tuple[str, ...], functions: tuple[Function, ...] = ()) -> "Expression":
    """Return the library's program for `expression`, cached. `names` are sorted. Raises CelError."""
    if len(expression) > LENGTH_MAX:
        raise CelError(f"the expression has {len(expression)} characters; at most {LENGTH_MAX}")
    try:
        return environment(names, functions).compile(expression)
    except RuntimeError as error:
        raise CelError(_compile_error(str(error))) from error


@lru_cache(maxsize=64)
def environment(names: tuple[str, ...], functions: tuple[Function, ...]) -> "Env":
    """Return the library's environment in which `names` (of any type) and `functions` are declared."""
    from cel_expr_python import cel
    from cel_expr_python.ext import ext_optional, ext_strings

    kinds: dict[str, Type] = {
        "string": cel.Type.STRING,
        "int": cel.Type.INT,
        "double": cel.Type.DOUBLE,
        "bool": cel.Type.BOOL,
        "list": cel.Type.List(cel.Type.DYN),
        "map": cel.Type.MAP,
        "dyn": cel.Type.DYN,
    }
    overloads: dict[str, list[Overload]] = {}
    for each in (*KUBERNETES, *functions):
        overload = cel.Overload(
            each.id,
            return_type=kinds[each.gives],
            parameters=[kinds[kind] for kind in each.takes],
            is_member=each.member,
            impl=each.run,
        )
        overloads.setdefault(each.name, []).append(overload)
    return cel.NewEnv(
        variables=dict.fromkeys(names, cel.Type.DYN),
        # Version 2 of the string library, as in Kubernetes: no `reverse`, which came with version 3.
        extensions=[ext_strings.ExtStrings(2), ext_optional.ExtOptional()],
        functions=[cel.FunctionDecl(name, each) for name, each in overloads.items()],
    )


def run_error(text: str) -> str:
    """Return the library's message without the code before and behind it.

    >>> run_error('INTERNAL: Iteration budget exceeded [INTERNAL]')
    'Iteration budget exceeded'
    """
    first = (text.splitlines() or [""])[0]
    return re.sub(r"\s*\[[A-Z_]+\]$", "", re.sub(r"^[A-Z_]+: ", "", first))


def _compile_error(text: str) -> str:
    """Return the message alone: the library adds its own frame, a place, and a picture of the expression."""
    first = text.splitlines()[0]
    found = re.sub(r"^.*?ERROR: <input>:-?\d+:-?\d+: ", "", first).replace(" (in container '')", "")
    return run_error(re.sub(r" expecting \{.*$", "", found))
