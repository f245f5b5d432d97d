"""Find `${ }` in a string, and give it its value.

Called by hydrate.evaluation and hydrate.manifests for every text with one. What stands between the braces is CEL.

Invariant: a string that is one expression keeps the expression's type; one with text around it becomes a string.
"""

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any, Final

from bateau.kit.cel import CelError, evaluate
from bateau.kit.cel_tokens import free_names

_ENV: Final = re.compile(r"""\benv\(\s*(["'])([A-Za-z_]\w*)\1\s*\)""")
_READ: Final = "env__"  # what `env` was asked for, as one more name
_OPEN = "${"
_ESCAPED = "$${"


def expand(text: str, names: Mapping[str, Any], *, variables: Mapping[str, str] | None = None) -> Any:
    """Return `text` with its expressions evaluated. `$${` stands for a plain `${`. Raises CelError.

    `variables` are what `env(name)` finds.

    >>> expand("${ 1 + 1 }", {}), expand("v${ 1 + 1 }", {}), expand("$${x}", {})
    (2, 'v2', '${x}')
    """
    parts = _parts(text)
    if len(parts) == 1 and parts[0][0]:
        return _evaluated(parts[0][1], names, variables or {})
    return "".join(
        _text(_evaluated(part, names, variables or {})) if is_expression else part for is_expression, part in parts
    )


@lru_cache(maxsize=8192)
def names_in(text: str) -> frozenset[str]:
    """Return the names that the expressions of a text read; none where they cannot be taken apart.

    >>> sorted(names_in("${ spec.replicas } of ${ values.all.map(x, x) }, metadata"))
    ['spec', 'values']
    """
    try:
        parts = _parts(text)
    except CelError:
        return frozenset()
    return frozenset(name for is_expression, part in parts if is_expression for name in free_names(part))


def names_hint(error: CelError, names: Iterable[str]) -> str | None:
    """Return what an expression sees, where one failed because it asked for something else."""
    return f"an expression sees: {', '.join(sorted(names))}" if "undeclared reference" in str(error) else None


def _evaluated(expression: str, names: Mapping[str, Any], variables: Mapping[str, str]) -> Any:
    """Evaluate one expression; `env("NAME")` is looked up first, since only names that were declared may be read."""
    read: dict[str, str] = {}

    def bound(match: re.Match[str]) -> str:
        name = match[2]
        if name not in variables:
            raise CelError(f"env({name!r}) is not there: declare it in spec.env of the environment, and set it")
        if not _is_text(variables[name]):
            raise CelError(f"env({name!r}) is not UTF-8")
        read[name] = variables[name]
        return f"{_READ}.{name}"

    # The values are bound and not written into the expression, so that they may be long and hold anything.
    rewritten = _ENV.sub(bound, expression)
    return evaluate(rewritten, {**names, _READ: read} if read else names)


def _is_text(value: str) -> bool:
    """Whether it holds no bytes that could not be decoded."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _parts(text: str) -> list[tuple[bool, str]]:
    """Split into (is it an expression, text)."""
    parts: list[tuple[bool, str]] = []
    rest = text
    while rest:
        start = rest.find(_OPEN)
        if start < 0:
            return [*parts, (False, rest)]
        if rest[max(0, start - 1) :].startswith(_ESCAPED):
            parts.append((False, rest[: start - 1] + _OPEN))
            rest = rest[start + len(_OPEN) :]
            continue
        end = _end(rest, start + len(_OPEN))
        if start:
            parts.append((False, rest[:start]))
        parts.append((True, rest[start + len(_OPEN) : end].strip()))
        rest = rest[end + 1 :]
    return parts


def _end(text: str, start: int) -> int:
    """Return where the brace that closes the expression stands; braces in strings and maps do not count."""
    depth, quote, position = 0, "", start
    while position < len(text):
        letter = text[position]
        if quote:
            if letter == "\\":
                position += 1
            elif letter == quote:
                quote = ""
        elif letter in "\"'":
            quote = letter
        elif letter == "{":
            depth += 1
        elif letter == "}":
            if depth == 0:
                return position
            depth -= 1
        position += 1
    raise CelError("an expression opens with '${' and does not close with '}'")


def _text(value: Any) -> str:
    """Return a value as it stands beside text. Raises CelError for what has no one form there."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str | int | float):
        return str(value)
    kind = "null" if value is None else "a list" if isinstance(value, list) else "a map"
    raise CelError(f"an expression with text around it gives {kind}: it must be text, a number or a boolean there")
