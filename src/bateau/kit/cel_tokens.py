"""Take the text of a CEL expression apart, as far as its names go.

Called by kit.cel (what an expression may cost) and policy (which names a rule reads; renaming them for an API server).

Invariant: what stands in strings, comments and behind a dot is never taken for a name.
Refused: a parser of our own; the library has the grammar, and all that is asked here is which words are names.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Final

_TOKEN: Final = re.compile(
    r"""(?P<space>\s+|//[^\n]*)
    |(?P<string>(?:[rR][bB]?|[bB][rR]?)?(?:\"\"\"(?:\\.|[^\\])*?\"\"\"|'''(?:\\.|[^\\])*?'''
        |"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'))
    |(?P<number>\d[\w.]*)
    |(?P<word>[A-Za-z_]\w*)
    |(?P<mark>.)""",
    re.VERBOSE | re.DOTALL,
)
_RAW: Final = re.compile(r"""[bB]?[rR][bB]?("|')(?!\1\1)(?:(?!\1)[^\n])*\1""")
_KEYWORDS: Final = frozenset({"true", "false", "null", "in"})
_MACROS: Final = frozenset({"all", "exists", "exists_one", "map", "filter"})
_REPEATING: Final = frozenset({"replace", "format", "join"})
_REPEATED: Final = 64
_ENDLESS: Final = 1e300
_LONG: Final = frozenset(('"""', "'''"))


@dataclass(frozen=True, slots=True)
class Token:
    """A piece of an expression. `name`: a word that is looked up, and neither a field, a function nor a keyword."""

    text: str
    group: str
    name: bool = False


def tokens(expression: str) -> tuple[Token, ...]:
    """Take `expression` apart; joined again, the texts are the expression.

    >>> [each.text for each in tokens("spec.a == 'spec' && has(metadata.b)") if each.name]
    ['spec', 'metadata']
    """
    raw: list[tuple[str, str]] = []
    at = 0
    while at < len(expression):
        if quoted := _RAW.match(expression, at):
            raw.append((quoted.group(), "string"))
            at = quoted.end()
        elif match := _TOKEN.match(expression, at):
            raw.append((match.group(), str(match.lastgroup)))
            at = match.end()
    found: list[Token] = []
    solid = [index for index, (_, group) in enumerate(raw) if group != "space"]
    after = dict(pairwise(solid))
    before = {following: index for index, following in after.items()}
    for index, (text, group) in enumerate(raw):
        is_name = group == "word" and text not in _KEYWORDS
        if is_name and index in before:
            previous = raw[before[index]][0]
            optional = previous == "?" and before[index] in before and raw[before[before[index]]][0] in ".["
            is_name = previous != "." and not (optional and raw[before[before[index]]][0] == ".")
        if is_name and index in after:
            is_name = raw[after[index]][0] != "("
        found.append(Token(text, group, is_name))
    return tuple(found)


@lru_cache(maxsize=8192)
def free_names(expression: str) -> frozenset[str]:
    """Return the names that `expression` reads from outside: variables of its own macros are not among them.

    >>> sorted(free_names("spec.all(c, c.image != params.image)"))
    ['params', 'spec']
    """
    return frozenset(each.text for each in tokens(expression) if each.name) - bound_names(expression)


@lru_cache(maxsize=8192)
def bound_names(expression: str) -> frozenset[str]:
    """Return the variables that macros of `expression` bring in: the `c` of `.all(c, …)`."""
    solid = [each for each in tokens(expression) if each.group != "space"]
    return frozenset(
        variable.text
        for dot, macro, opens, variable in zip(solid, solid[1:], solid[2:], solid[3:], strict=False)
        if dot.text == "." and macro.text in _MACROS and opens.text == "(" and variable.group == "word"
    )


@lru_cache(maxsize=8192)
def fields_of(expression: str, name: str) -> frozenset[str]:
    """Return the fields that are read of `name`.

    >>> sorted(fields_of("variables.pod.x + variables.size", "variables"))
    ['pod', 'size']
    """
    solid = [each for each in tokens(expression) if each.group != "space"]
    return frozenset(
        field.text
        for start, dot, field in zip(solid, solid[1:], solid[2:], strict=False)
        if start.name and start.text == name and dot.text == "." and field.group == "word"
    )


def renamed(expression: str, names: Mapping[str, str]) -> str:
    """Return `expression` with names replaced. A name that a macro brings in must not be among them.

    >>> renamed("spec.x == 'spec' || y.spec", {"spec": "variables.spec"})
    "variables.spec.x == 'spec' || y.spec"
    """
    return "".join(names.get(each.text, each.text) if each.name else each.text for each in tokens(expression))


def has_string(text: str) -> bool:
    """Whether a string literal stands in `text`, so that it was meant as CEL."""
    return any(each.group == "string" for each in tokens(text))


@lru_cache(maxsize=8192)
def growth(expression: str, longest: int = 0) -> float:
    """Return how many times larger than its input a value may become, at most and roughly.

    `[s].map(x, x + x).map(x, x + x)` doubles at each step, within any budget of iterations: with M `map` and P pluses
    or list items, the worst is (1 + P/M) to the power of M. Each `replace`, `format` and `join` multiplies by what
    its texts say; where they are no plain texts, by `longest`, and at least by 64.

    >>> growth("a + b + c"), growth("[s].map(x, x + x).map(x, x + x)")
    (1.0, 4.0)
    >>> growth("a.replace('_', '-').replace('.', '-')"), growth("a.replace('a', 'aaaaaaaaaa').replace('b', c)")
    (1.0, 640.0)
    """
    solid = [each for each in tokens(expression) if each.group != "space"]
    pieces = [each.text for each in solid if each.group in {"word", "mark"}]
    times = 1.0
    for index, each in enumerate(solid):
        if each.group == "word" and each.text in _REPEATING:
            times = min(times * _repeats([token.text for token in solid[index + 1 : index + 6]], longest), _ENDLESS)
    maps = pieces.count("map")
    if not maps:
        return times
    more = pieces.count("+") + pieces.count(",") - maps
    return min((1 + max(more, 1) / maps) ** maps * times, _ENDLESS)


def _repeats(after: list[str], longest: int) -> float:
    """Return how many times longer a call makes its text, of which these are the words behind its name."""
    if after[:1] == ["("] and after[2:3] == [","] and after[4:5] in ([")"], [","]):  # replace('a', 'bc')
        old, new = (_characters(after[at]) for at in (1, 3))
        if old is not None and new is not None:
            return max(1.0, new / old if old else new + 1.0)
    if after[:1] == ["("] and after[2:3] == [")"] and (between := _characters(after[1])) is not None:  # join(', ')
        return 1.0 + between
    return 1.0 if after[:2] == ["(", ")"] else float(max(_REPEATED, longest))


def _characters(text: str) -> int | None:
    """Return the length of what a plain string literal stands for, None for anything else."""
    quoted = len(text) > 1 and text[0] in "\"'" and text[-1] == text[0] and "\\" not in text and text[:3] not in _LONG
    return len(text) - 2 if quoted else None
