"""Evaluate the `${ }` expressions in a string.

Called by hydrate.evaluation and hydrate.manifests. The text between the braces is CEL.

Invariant: if the whole string is one expression, its value keeps its type; with text around it, the result is a string.
Held by tests/hydrate/test_expressions.py.
"""

from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Final

from bateau.domain.expression import ENV, paths_read
from bateau.kit.cel import CelError, evaluate
from bateau.kit.cel_function import Function
from bateau.kit.cel_reading import reading
from bateau.kit.cel_text import parts
from bateau.kit.json_value import Json, ReadObject

_READ: Final = "env__"  # an extra name that holds the environment variables of an expression
_LOOKED_UP: Final = Function(ENV.name, ("map", "string"), "string", dict[str, str].__getitem__)


def expand(text: str, names: ReadObject, *, variables: Mapping[str, str] | None = None) -> Json:
    """Return `text` with its expressions evaluated. `$${` stands for a plain `${`. Raises CelError.

    `variables` are the environment variables that `env(name)` can read.

    >>> expand("${ 1 + 1 }", {}), expand("v${ 1 + 1 }", {}), expand("$${x}", {})
    (2, 'v2', '${x}')
    """
    found = parts(text)
    if len(found) == 1 and found[0].is_expression:
        return _evaluated(found[0].text, names, variables or {})
    return "".join(
        _text(_evaluated(part.text, names, variables or {})) if part.is_expression else part.text for part in found
    )


@lru_cache(maxsize=8192)
def names_in(text: str) -> frozenset[str]:
    """Return the names that the expressions in a text read. Expressions that do not compile are skipped.

    >>> sorted(names_in("${ spec.replicas } of ${ values.all.map(x, x) }, metadata"))
    ['spec', 'values']
    """
    return frozenset(path.name for path in paths_read(text))


def names_hint(error: CelError, names: Iterable[str]) -> str | None:
    """Return a hint with the available names, if an expression failed because it reads an undeclared name."""
    return f"an expression can use: {', '.join(sorted(names))}" if "undeclared reference" in str(error) else None


def _evaluated(expression: str, names: ReadObject, variables: Mapping[str, str]) -> Json:
    """Evaluate one expression. The values of `env("NAME")` are bound, because they may be long and contain any text."""
    if ENV.name not in expression:
        return evaluate(expression, names)
    calls = [call for call in reading(expression, names, (ENV,)).calls if call.function == ENV.name]
    read: dict[str, str] = {}
    for call in sorted(calls, key=lambda call: call.at, reverse=True):
        name = call.arguments.get(0)
        if not isinstance(name, str):
            raise CelError('env() takes the name of a variable in quotes, such as env("REGION")')
        if name not in variables:
            raise CelError(f"env({name!r}) is not available: declare it in spec.env of the environment, and set it")
        if not _is_text(variables[name]):
            raise CelError(f"env({name!r}) is not UTF-8")
        read[name] = variables[name]
        # Rewrite the call to env(env__, "NAME"). `at` is the offset of its opening parenthesis.
        expression = f"{expression[: call.at + 1]}{_READ}, {expression[call.at + 1 :]}"
    return evaluate(expression, {**names, _READ: read}, (_LOOKED_UP,)) if read else evaluate(expression, names)


def _is_text(value: str) -> bool:
    """Whether a value has no bytes that could not be decoded (surrogates, PEP 383)."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _text(value: Json) -> str:
    """Return a scalar as text. Raises CelError for null, lists and maps, which have no single form as text."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str | int | float):
        return str(value)
    kind = "null" if value is None else "a list" if isinstance(value, list) else "a map"
    raise CelError(f"an expression with text around it gives {kind}; it must give text, a number or a boolean")
