"""Find the `${ }` expressions in a text.

Called by domain.expression, hydrate.expressions, kit.schema, policy.written and specs. CEL's lexical grammar decides
where an expression ends: braces in strings, comments and maps do not end it.

Invariant: the joined parts are the text, except that `$${` becomes a plain `${`. Held by tests/kit/test_cel_text.py.
Refused: asking the library at each `}` whether the text before it compiles; an error would not have one position.
"""

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from bateau.kit.cel_library import CelError

OPEN: Final = "${"
_ESCAPED: Final = "$" + OPEN
# The tokens of CEL in which braces and quotes have no meaning. Source: cel-spec, "Lexical analysis".
_STRING: Final = r"""
    [bB]?[rR](?:\"\"\"[\s\S]*?\"\"\"|'''[\s\S]*?'''|"[^"\r\n]*"|'[^'\r\n]*')
    |[bB]?(?:\"\"\"(?:\\[\s\S]|[^\\])*?\"\"\"|'''(?:\\[\s\S]|[^\\])*?'''|"(?:\\.|[^"\\\r\n])*"|'(?:\\.|[^'\\\r\n])*')
"""
_TOKEN: Final = re.compile(
    rf"(?P<comment>//[^\n]*)|(?P<string>{_STRING})|\w+|(?P<mark>[{{}}'\"])|.", re.VERBOSE | re.DOTALL
)


@dataclass(frozen=True, slots=True)
class Part:
    """A piece of a text. An expression's `text` is CEL without the braces; `at` is its offset in the whole."""

    text: str
    at: int
    is_expression: bool = False


@lru_cache(maxsize=16384)
def parts(text: str) -> tuple[Part, ...]:
    """Split a text into plain text and expressions. Raises CelError if an expression is not closed.

    >>> [(each.text, each.is_expression) for each in parts("v${ values['a}'] } of $${x}")]
    [('v', False), ("values['a}']", True), (' of ', False), ('${', False), ('x}', False)]
    """
    found: list[Part] = []
    at = 0
    while (start := text.find(OPEN, at)) >= 0:
        escaped = start > at and text.startswith(_ESCAPED, start - 1)
        if plain := text[at : start - 1 if escaped else start]:
            found.append(Part(plain, at))
        if escaped:
            found.append(Part(OPEN, start - 1))
            at = start + len(OPEN)
            continue
        end = _end(text, start + len(OPEN))
        expression = text[start + len(OPEN) : end]
        lead = len(expression) - len(expression.lstrip())
        found.append(Part(expression.strip(), start + len(OPEN) + lead, is_expression=True))
        at = end + 1
    if at < len(text):
        found.append(Part(text[at:], at))
    return tuple(found)


def expressions(text: str) -> tuple[Part, ...]:
    """Return the expressions of a text; none if one of them is not closed."""
    if OPEN not in text:
        return ()
    try:
        return tuple(part for part in parts(text) if part.is_expression)
    except CelError:
        return ()


def has_string(text: str) -> bool:
    """Whether `text` contains a CEL string literal, so that its author meant it as CEL.

    >>> has_string("object.kind + ' is wrong'"), has_string("the name isn't right")
    (True, False)
    """
    return any(match["string"] for match in _TOKEN.finditer(text))


def _end(text: str, start: int) -> int:
    """Return the offset of the brace that closes the expression. Raises CelError."""
    depth = 0
    opened: str | None = None
    for match in _TOKEN.finditer(text, start):
        mark = match["mark"]
        if mark == "{":
            depth += 1
        elif mark == "}":
            if depth == 0:
                return match.start()
            depth -= 1
        elif mark:
            opened = f"a string in it opens with {mark} and is not closed"
            break
        elif match["comment"] and "}" in match[0]:
            opened = "its brace is in a comment (`//`), which extends to the end of the line"
    says = "the expression that opens with `${` is not closed"
    raise CelError(f"{says}: {opened}" if opened else says)
