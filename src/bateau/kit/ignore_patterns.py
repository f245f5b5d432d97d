"""Match paths against the patterns of a file like `.gitignore`.

Called by sources.spec_names. The rules are those of gitignore(5), looked up in Git 2.39; a test compares both.

Invariant: the time is bounded by the length of the pattern times that of the path, whatever a pattern says. Held by
tests/kit/test_ignore_patterns.py::test_no_pattern_takes_long.
Refused: the library pathspec. It matches a path together with all directories around it, so that `testdata/**` followed
by `!testdata/a.yaml` ignores a.yaml, which Git does not.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

_SPACES: Final = re.compile(r"(?<!\\) +$")
_ANY: Final = re.compile(r".*", re.DOTALL)
_CLASSES: Final = {
    "alnum": "a-zA-Z0-9", "alpha": "a-zA-Z", "blank": r" \t", "cntrl": r"\x00-\x1f\x7f", "digit": "0-9",
    "graph": r"\x21-\x7e", "lower": "a-z", "print": r"\x20-\x7e", "punct": r"!-/:-@\[-`{-~", "space": r"\s",
    "upper": "A-Z", "xdigit": "0-9a-fA-F",
}  # fmt: skip
# The next token of a pattern: a star, a question mark, a bracket expression or a character, escaped or plain.
_TOKEN: Final = re.compile(
    r"(?P<star>\*+)|(?P<any>\?)|\[(?P<not>[!^]?)(?P<set>\]?(?:\[:\w+:\]|\\.|[^\]\\])*)\]|\\(?P<escaped>.)|(?P<plain>.)",
    re.DOTALL,
)
_MEMBER: Final = re.compile(r"\[:(?P<named>\w+):\]|\\?(?P<first>.)(?:-\\?(?P<last>[^\]]))?", re.DOTALL)


@dataclass(frozen=True, slots=True)
class _Pattern:
    """One line. `parts` match the parts of a path; None stands for any number of them. `anywhere`: the last part."""

    negated: bool
    directory: bool
    anywhere: bool
    parts: tuple[re.Pattern[str] | None, ...]

    def matches(self, parts: Sequence[str], *, directory: bool) -> bool:
        if self.directory and not directory:
            return False
        return _covers(self.parts, parts[-1:] if self.anywhere else parts)


class IgnorePatterns:
    """The patterns of one file. The last one that matches a path decides."""

    def __init__(self, text: str) -> None:
        """Read every line of `text`. A line that can match nothing is skipped, as Git does."""
        self._patterns = tuple(reversed([*_read(text.removeprefix("\ufeff"))]))

    def excludes(self, path: str, *, directory: bool = False) -> bool:
        r"""Whether `path` ("a/b") itself is ignored; whether a directory around it is, is for the caller to ask first.

        >>> patterns = IgnorePatterns("testdata/**\n!testdata/keep.yaml\n/vendor/\n")
        >>> [patterns.excludes(path) for path in ("testdata/a.yaml", "testdata/keep.yaml", "testdata", "vendor")]
        [True, False, False, False]
        >>> patterns.excludes("vendor", directory=True)
        True
        """
        parts = path.split("/")
        found = next((each for each in self._patterns if each.matches(parts, directory=directory)), None)
        return found is not None and not found.negated


def _read(text: str) -> Iterator[_Pattern]:
    for line in text.split("\n"):
        pattern = _SPACES.sub("", line.removesuffix("\r"))
        if pattern.startswith("#"):
            continue
        negated = pattern.startswith("!")
        pattern = pattern[1:] if negated else pattern
        directory = pattern.endswith("/")
        pattern = pattern[:-1] if directory else pattern
        anywhere = "/" not in pattern
        names = pattern.removeprefix("/").split("/")
        if names == [""] or "" in names or (len(names[-1]) - len(names[-1].rstrip("\\"))) % 2:
            continue
        if anywhere:
            parts = [_part(pattern)]
        else:
            parts = [None if name == "**" else _part(name) for name in names]
            if parts[-1] is None:
                parts.append(_ANY)  # `a/**` matches the files in `a`, and not `a` itself
        yield _Pattern(negated, directory, anywhere, tuple(parts))


def _covers(pattern: Sequence[re.Pattern[str] | None], parts: Sequence[str]) -> bool:
    """Match parts one by one; where that fails, the last `**` takes one part more."""
    at, place, retry, kept = 0, 0, -1, 0
    while place < len(parts):
        if at < len(pattern) and pattern[at] is None:
            retry, kept = at, place
            at += 1
            continue
        here = pattern[at] if at < len(pattern) else None
        if here is not None and here.fullmatch(parts[place]):
            at, place = at + 1, place + 1
        elif retry >= 0:
            kept += 1
            at, place = retry + 1, kept
        else:
            return False
    return all(each is None for each in pattern[at:])


def _part(pattern: str) -> re.Pattern[str]:
    """Return the pattern of one part. After a star, the shortest match is kept, so that nothing is tried twice."""
    chunks = [""]
    for token in _TOKEN.finditer(pattern):
        if token["star"]:
            chunks.append("")
        else:
            chunks[-1] += _one(token)
    first, *rest = chunks
    if not rest:
        return re.compile(first, re.DOTALL)
    middle = "".join(f"(?>.*?{chunk})" for chunk in rest[:-1])
    return re.compile(f"{first}{middle}.*{rest[-1]}", re.DOTALL)


def _one(token: re.Match[str]) -> str:
    """Return the regular expression for one character."""
    if token["any"]:
        return "."
    if token["set"] is None:
        return re.escape(token["escaped"] or token["plain"])
    members: list[str] = []
    for member in _MEMBER.finditer(token["set"]):
        first, last = member["first"], member["last"]
        if member["named"]:
            members.append(_CLASSES.get(member["named"], ""))
        elif last is None:
            members.append(re.escape(first))
        elif first <= last:
            members.append(f"{re.escape(first)}-{re.escape(last)}")
    inside = "".join(members)
    if not inside:
        return "." if token["not"] else r"(?!)"
    return f"[{'^' if token['not'] else ''}{inside}]"
