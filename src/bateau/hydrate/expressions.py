"""Find `${ }` in a string, and give it its value.

Called by hydrate.services for every scalar. What stands between the braces is CEL.

Invariant: a string that is one expression keeps the expression's type; one with text around it becomes a string.
"""

import json
import re
from collections.abc import Mapping
from typing import Any, Final

from bateau.kit.cel import CelError, evaluate

_ENV: Final = re.compile(r"""\benv\(\s*(["'])([A-Za-z_]\w*)\1\s*\)""")
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


def _evaluated(expression: str, names: Mapping[str, Any], variables: Mapping[str, str]) -> Any:
    """Evaluate one expression; `env("NAME")` is looked up first, since only names that were declared may be read."""

    def value(match: re.Match[str]) -> str:
        name = match[2]
        if name not in variables:
            raise CelError(f"env({name!r}) is not there: declare it in spec.env of the environment, and set it")
        return json.dumps(variables[name])

    return evaluate(_ENV.sub(value, expression), names)


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
    if value is True or value is False:
        return str(value).lower()
    return str(value)
