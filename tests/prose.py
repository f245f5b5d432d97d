"""Turn the repository into passages of English, and a passage into the words and clauses that Bateau does not use.

Called by test_language.py and test_house.py. A passage is what a reader sees in one piece: a paragraph, a list item, a
table cell, a comment, a docstring, a message.

Invariant: code is never judged as English. Fenced blocks, inline code, link targets, doctests, regular expressions and
placeholders of f-strings are removed first.
Refused: a grammar checker; it cannot be told about "shall" in this repository, and a table of patterns can.
"""

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent
SOURCE = ROOT / "src" / "bateau"

CLAUSES_PER_100_WORDS_MAX = 0.03

# Areas that are still to be rewritten: how many words from WORDS they have, and how many clauses that begin with
# "what is". The figures only go down; an area that is done leaves the table.
NOT_YET: dict[str, tuple[int, int]] = {}

_BE = r"(?:is|are|was|were|be|been|being)"
_BETWEEN = r"(?:if|when|that|which|in|of|for|on|by|to|as|with|and|or)"
_COUNTED = r"(?:service|replica|environment|request|model|user|app|kind|object|document|field|file|instance|machine)"

# Each pattern is case-insensitive, and a space in it stands for any white space.
WORDS: dict[str, tuple[str, str]] = {
    "mend, put right": (r"\bmend(?:s|ed|ing)?\b|\bput(?:s|ting)? (?:\w+ )?right\b", "fix"),
    "mistake": (r"(?<!by\s)\bmistakes?\b", "error"),
    "shall": (r"\bshall\b", "should, must"),
    "is told, tells of": (rf"\b{_BE} (?:told|said)\b|\b(?:tell|tells|told) of\b", "is reported, reports"),
    "goes on": (r"\b(?:go|goes|going|went|gone) on\b", "continues"),
    "any more": (r"\bany ?more\b", "no longer"),
    "is no X": (rf"(?<!there\s){_BE} no (?!longer\b|more\b|less\b|one\b)(?=\w)", "is not a X"),
    "of ours": (r"\bof (?:ours|yours|theirs|somebody(?:'s| else's)?)\b", "Bateau's, third-party"),
    "somebody": (r"\bsomebody\b", "someone, or name the person's part: the author, the operator"),
    "a file a service": (
        rf"\b(?:an?|one|two|three|[\d,]*\d) (?!{_BETWEEN}\b)\w+ an? {_COUNTED}\b|\b[KMG]i?B an? \w+",
        "one file per service",
    ),
    "the way of": (
        r"\bway of (?:an?|the|each|every|requests?|changes?)\b|\bon (?:this|that) way\b",
        "the request path",
    ),
    "what runs": (r"\bwhat(?:ever)? (?:runs|ran)\b", "the running services, the replicas"),
    "what is written": (r"\bwhat(?:ever)? (?:is|was|stands) written\b|\bwhat people wrote\b", "the specs"),
    "looked at": (r"\blooked at\b", "checked"),
    "taken up, taken along": (
        r"\b(?:taken|taking) (?:up|along)\b|\btakes? along\b|\b(?:bring|brings|come|comes|brought|carried) along\b",
        "applied, included",
    ),
    "anew": (r"\banew\b", "again; recreated"),
    "forth": (r"\bforth\b", "forward"),
    "there is:": (r"\bthere (?:is|are): ", "available:"),
    "alike": (r"\balike\b", "the same way, both"),
    "hinder": (r"\bhinder(?:s|ed|ing)?\b", "block, prevent"),
    "in silence": (r"\bin silence\b|\bwithout a word\b", "silently"),
}
_PATTERNS = {
    name: re.compile(pattern.replace(" ", r"\s+"), re.IGNORECASE) for name, (pattern, _instead) in WORDS.items()
}

_VERBS = (
    "is|are|was|were|isn't|be|shall|should|will|would|can|cannot|could|may|might|must|has|have|had|does|did|runs?|ran|"
    "stands?|stood|follows?|followed|comes?|came|goes|went|gets?|got|needs?|lies|lay|makes?|made|gives?|gave|moves?|"
    "moved|changes|changed|differs?|differed|works?|worked|happens?|happened|fails?|failed|remains?|remained|holds?|"
    "held|starts?|started|ends?|ended|dies|died|says?|said|needed|wanted|belongs?|applies|serves?|served|lives?|exists?"
)
_CLAUSE = re.compile(rf"\bwhat(?:ever)?\s+(?:{_VERBS})\b", re.IGNORECASE)
_QUESTION = re.compile(r"[^.!?;|]*\?")


@dataclass(frozen=True)
class Passage:
    """English text, with code removed. `line` is that of its first word."""

    file: str
    line: int
    text: str

    @property
    def words(self) -> int:
        """The number of words."""
        return len(re.findall(r"[A-Za-z][\w'-]*", self.text))

    def place(self, match: re.Match[str]) -> str:
        """Return where a match stands, and the words around it."""
        line = self.line + self.text.count("\n", 0, match.start())
        around = self.text[max(match.start() - 40, 0) : match.end() + 40]
        return f"{self.file}:{line}  ...{' '.join(around.split())}..."


def bad_words(passage: Passage) -> list[tuple[str, str]]:
    """Return (name in WORDS, place) for every word that is not used here."""
    return [
        (name, passage.place(match)) for name, pattern in _PATTERNS.items() for match in pattern.finditer(passage.text)
    ]


def bare_clauses(passage: Passage) -> list[str]:
    """Return the place of every "what is ..." that stands for a noun; questions are not among them."""
    return [
        passage.place(match)
        for match in _CLAUSE.finditer(passage.text)
        if not _QUESTION.match(passage.text, match.end())
    ]


@dataclass(frozen=True)
class Area:
    """The flaws of one area, each as a line that says where it is; `size` is the number of words."""

    size: int
    words: list[str]
    clauses: list[str]

    def excess(self, allowed: tuple[int, int]) -> list[str]:
        """Return all flaws of a sort if there are more than `allowed` (words, clauses) and than their share permits."""
        words_max, clauses_max = allowed
        clauses_max = max(clauses_max, int(self.size * CLAUSES_PER_100_WORDS_MAX / 100))
        words = self.words if len(self.words) > words_max else []
        return words + (self.clauses if len(self.clauses) > clauses_max else [])


def area(passages: list[Passage]) -> Area:
    """Return the flaws of passages."""
    words = [f"{place}  {name}: use {WORDS[name][1]}" for passage in passages for name, place in bad_words(passage)]
    clauses = [
        f"{place}  name the subject instead of 'what ...'" for passage in passages for place in bare_clauses(passage)
    ]
    return Area(sum(passage.words for passage in passages), words, clauses)


def areas() -> dict[str, Area]:
    """Return the flaws of the documents, of the faces, and of every other package."""
    return {name: area(passages) for name, passages in _passages_by_area().items()}


def _passages_by_area() -> dict[str, list[Passage]]:
    found: dict[str, list[Passage]] = {"docs": list(_documents())}
    for path in sorted(SOURCE.rglob("*")):
        package = path.relative_to(SOURCE).parts[0] if path.parent != SOURCE else "cli"
        if package == "data":
            package = "policy"
        name = {"cli": "cli+api", "api": "cli+api"}.get(package, package)
        if path.suffix in (".py", ".yaml"):
            found.setdefault(name, []).extend(_of_file(path))
    return found


def _documents() -> Iterator[Passage]:
    """Yield the passages of every page and of every example."""
    pages = [ROOT / "README.md", ROOT / "ARCHITECTURE.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*"))]
    for path in (*pages, *sorted((ROOT / "examples").rglob("*")), ROOT / "Makefile"):
        if not {"_build", "generated"} & set(path.parts):
            yield from _of_file(path)


def _of_file(path: Path) -> Iterator[Passage]:
    name = str(path.relative_to(ROOT))
    if path.suffix == ".md":
        yield from markdown(name, path.read_text())
    elif path.suffix == ".py":
        yield from python(name, path.read_text())
    elif path.suffix in (".yaml", ".tpl") or path.name == "Makefile":
        yield from comments(name, path.read_text())


def markdown(name: str, text: str) -> Iterator[Passage]:
    """Yield the paragraphs, list items and table cells of a page."""
    blank = re.compile(r"^(`{3,})[^\n`]*\n.*?^\1[ ]*$|<!--.*?-->", re.MULTILINE | re.DOTALL)
    # Blanked and not cut, so that line numbers stay.
    text = blank.sub(lambda match: "\n" * match[0].count("\n"), text)
    block: list[str] = []
    begin = 1
    for number, line in enumerate([*text.split("\n"), ""], start=1):
        if not line.strip() or re.match(r"\s*(?:[-*|#>]|\d+\.)", line):
            yield from _passage(name, begin, "\n".join(block))
            block, begin = [], number
        if line.lstrip().startswith("|"):
            yield from (p for cell in line.split("|") for p in _passage(name, number, cell))
        elif line.strip():
            begin = begin if block else number
            block.append(line)


def comments(name: str, text: str) -> Iterator[Passage]:
    """Yield the comments of a YAML file, a template or a Makefile; lines that follow each other are one comment."""
    lines = [(n, c[1]) for n, line in enumerate(text.splitlines(), 1) if (c := re.search(r"(?:^|\s)#+ (.*)", line))]
    yield from _joined(name, lines)


def python(name: str, text: str) -> Iterator[Passage]:
    """Yield the docstrings, comments and messages of a module."""
    tree = ast.parse(text)
    documented: set[ast.AST] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[0] if node.body else None
            if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
                documented.add(first.value)
                yield from _docstring(name, first.value)
    yield from _messages(name, tree, documented)
    found = (t for t in tokenize.generate_tokens(io.StringIO(text).readline) if t.type == tokenize.COMMENT)
    yield from _joined(name, [(token.start[0], token.string.lstrip("# ")) for token in found])


def _docstring(name: str, node: ast.Constant) -> Iterator[Passage]:
    text = re.sub(
        r"^ *```.*?^ *```|^ *>>> .*?(?=^\s*$|\Z)",
        lambda match: "\n" * match[0].count("\n"),
        str(node.value),
        flags=re.MULTILINE | re.DOTALL,
    )
    yield from _passage(name, node.lineno, text)


def _messages(name: str, tree: ast.AST, documented: set[ast.AST]) -> Iterator[Passage]:
    """Yield every literal that reads as text, f-strings in one piece."""
    todo: list[ast.AST] = [tree]
    while todo:
        node = todo.pop()
        if isinstance(node, ast.JoinedStr):
            text = "".join(str(v.value) if isinstance(v, ast.Constant) else "CODE" for v in node.values)
            yield from _message(name, node.lineno, text)
            todo.extend(v.value for v in node.values if isinstance(v, ast.FormattedValue))
            continue
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node not in documented:
            yield from _message(name, node.lineno, node.value)
        is_regex = isinstance(node, ast.Call) and ast.unparse(node.func).startswith(("re.", "re2."))
        todo.extend(each for each in ast.iter_child_nodes(node) if not (is_regex and isinstance(each, ast.Constant)))


def _message(name: str, line: int, text: str) -> Iterator[Passage]:
    if " " in text and re.search(r"\b[a-z]{2,}\b", text):
        # A literal of several lines in the source has no newlines in it: its places are those of its first line.
        yield from _passage(name, line, text.replace("\n", " "))


def _joined(name: str, lines: list[tuple[int, str]]) -> Iterator[Passage]:
    block: list[str] = []
    begin = 0
    for number, line in lines:
        if block and number != begin + len(block):
            yield from _passage(name, begin, "\n".join(block))
            block = []
        begin = begin if block else number
        block.append(line)
    yield from _passage(name, begin, "\n".join(block))


def _passage(name: str, line: int, text: str) -> Iterator[Passage]:
    """Yield `text` without its code, if words are left."""
    text = re.sub(r"(``?)[^`]+\1", lambda match: "CODE" + "\n" * match[0].count("\n"), text)
    text = re.sub(r"\]\([^)]*\)", "]", text)
    text = re.sub(r"https?://\S+", "CODE", text)
    if re.search(r"[a-z]{2}", text):
        yield Passage(name, line, text)
