"""The names and functions that expressions in documents can use, and the names that a text with expressions reads.

Read by specs.kinds.app (references), hydrate (evaluation, origins) and plan.difference (which values are concealed).
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import Final

from bateau.kit.cel import CelError
from bateau.kit.cel_function import Function
from bateau.kit.cel_reading import Path, reading
from bateau.kit.cel_text import expressions

# All names that expressions can use: documents have `ports`, manifests `kind` and `object`.
NAMES: Final = ("environment", "kind", "metadata", "object", "ports", "spec", "values")


def _unbound(name: str) -> str:
    raise ValueError(f"env({name!r}) is not available here")


ENV: Final = Function("env", ("string",), "string", _unbound)


@lru_cache(maxsize=8192)
def paths_read(text: str) -> Sequence[Path]:
    """Return the paths that the expressions in a text read. Expressions that do not compile are skipped.

    >>> [(path.name, path.steps) for path in paths_read("${ ports['x-y'] } ${ 'ports.no' } $${ ports.no }")]
    [('ports', ('x-y',))]
    """
    found: list[Path] = []
    for part in expressions(text):
        try:
            found += reading(part.text, NAMES, (ENV,)).paths
        except CelError:
            continue
    return found


@lru_cache(maxsize=8192)
def reads_variables(text: str) -> bool:
    """Whether an expression in a text calls `env()`. An expression that does not compile counts as one that does.

    >>> reads_variables("x${ env('A') }"), reads_variables("${ 'env(A)' }"), reads_variables("env('A')")
    (True, False, False)
    """
    for part in expressions(text) if "env" in text else ():
        try:
            found = reading(part.text, NAMES, (ENV,))
        except CelError:
            return True
        if any(call.function == ENV.name for call in found.calls):
            return True
    return False
