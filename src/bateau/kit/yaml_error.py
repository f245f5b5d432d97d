"""Turn a complaint of the YAML parser into one sentence that names the mistake, and how to mend it.

Called by kit.yaml_nodes where a document breaks off. libyaml and the Python parser word their complaints differently;
what counts here is the character they stumbled over and what they were reading.

Invariant: the same text gives the same words with either parser, for every mistake that has a row here.
Refused: the parser's own words; "did not find expected key" names neither the mistake nor its place.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import yaml

_TEMPLATE_HINT = "put text with { or [ in it in quotes; templates such as {{ x }} are not read, expressions are ${ x }"
_TAB = re.compile(r"[ -]*(\t)")

Explained = tuple[int, int, str, str | None]


@dataclass(frozen=True, slots=True)
class _Complaint:
    """What the parser said; lines and columns from 0, `opened` is where the construct it was reading begins."""

    problem: str
    reading: str
    line: int
    column: int
    character: str
    opened: tuple[int, int]
    opened_line: int  # as shown to people


def explained(error: yaml.MarkedYAMLError, text: str, *, first_line: int) -> Explained:
    """Return line and column (from 0, within `text`), what is wrong, and a hint. `first_line` is for messages."""
    mark: Any = error.problem_mark or error.context_mark
    opened: Any = error.context_mark or mark
    lines = text.split("\n")
    content = lines[mark.line] if mark.line < len(lines) else ""
    problem = error.problem or "it is not YAML"
    if (tab := _TAB.match(content)) is not None and ("start any token" in problem or "expected" in problem):
        return mark.line, tab.start(1), "a tab is used for indentation, which YAML forbids", "indent with spaces"
    complaint = _Complaint(
        problem=problem,
        reading=error.context or "",
        line=mark.line,
        column=mark.column,
        character=content[mark.column : mark.column + 1],
        opened=(opened.line, opened.column),
        opened_line=first_line + opened.line,
    )
    for words, explain in _ROWS:
        if words in complaint.problem or words in complaint.reading:
            return explain(complaint)
    return mark.line, mark.column, f"YAML cannot be read here: {problem}", None


def _escape(it: _Complaint) -> Explained:
    hint = "use single quotes, or write each backslash twice"
    return *it.opened, "double-quoted text has a backslash before the wrong character", hint


def _quote(it: _Complaint) -> Explained:
    return *it.opened, "the quote that opens here is not closed in this document", "close it"


def _colon(it: _Complaint) -> Explained:
    hint = "put a value that holds `: ` in quotes; else check the indentation of this line and the one before"
    return it.line, it.column, "this `:` stands where no key can be", hint


def _bracket(it: _Complaint) -> Explained:
    opening, closing = ("[", "]") if "sequence" in it.reading else ("{", "}")
    says = f"`{opening}` opened in line {it.opened_line} has no `{closing}` before this"
    return it.line, it.column, says, f"write `,` between the items and `{closing}` at the end"


def _token(it: _Complaint) -> Explained:
    return it.line, it.column, f"a value cannot begin with `{it.character}`", "put the value in quotes"


def _name(it: _Complaint) -> Explained:
    sign = "*" if "alias" in it.reading else "&"
    return *it.opened, f"`{sign}` must be followed by a name", "put the value in quotes if text is meant"


def _flow_node(it: _Complaint) -> Explained:
    says = f"`{it.character}` cannot stand here" if it.character else "a value is missing here"
    return it.line, it.column, says, _TEMPLATE_HINT


def _block(it: _Complaint) -> Explained:
    kind = "mapping" if "mapping" in it.reading else "list"
    hint = f"the {kind} begins in line {it.opened_line}: indent alike what belongs together"
    return it.line, it.column, f"this does not fit into the {kind} around it", hint


def _block_text(it: _Complaint) -> Explained:
    says = "after `|` or `>` only `-`, `+` and a digit may stand"
    return it.line, it.column, says, "begin the text on the next line"


_ROWS: tuple[tuple[str, Callable[[_Complaint], Explained]], ...] = (
    ("unknown escape", _escape),
    ("quoted scalar", _quote),
    ("mapping values", _colon),
    ("flow sequence", _bracket),
    ("flow mapping", _bracket),
    ("start any token", _token),
    ("scanning an alias", _name),
    ("scanning an anchor", _name),
    ("flow node", _flow_node),
    ("block mapping", _block),
    ("block collection", _block),
    ("block scalar", _block_text),
)
