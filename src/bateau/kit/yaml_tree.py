"""Turn YAML text into plain trees that remember where every key and value stands.

Called by control.bundle, kit.yaml_go, sources.foreign, sources.git.promotion, specs.ambiguity, specs.reading and
wiring.delivery. Reads YAML 1.2's core types unless told otherwise, so that `y`, `on` and `no` are strings.

Invariant: never raises for what stands in the text; every fault is a Flaw with line and column, and a fault in one
document does not hide those in the next.
Refused: PyYAML's constructors: they know no positions, read `on` as true, and let the last of two equal keys win.
"""

import itertools
import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from types import NoneType
from typing import Any, Final

import yaml

from bateau.kit.position import Flaw, Position, child, item

BYTES_MAX: Final = 2**20
NODES_MAX: Final = 100_000
DEPTH_MAX: Final = 64
KEY_CHARACTERS_MAX: Final = 1024
PATH_CHARACTERS_MAX: Final = 2**24  # of all paths together: long keys above long lists multiply

_TAGS: Final = "tag:yaml.org,2002:"
_MERGE: Final = f"{_TAGS}merge"
_DOCUMENT_START: Final = re.compile(r"^---(?=\s|$)|(?<=^\.\.\.\n)", re.MULTILINE)
_UNPRINTABLE: Final = re.compile("[^\t\n\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_NOTHING: Final = re.compile(r"(?:\s*(?:#[^\n]*|%[^\n]*|\.\.\.)?(?:\n|$))*")
_JSON: Final = json.JSONDecoder()
_JSON_OBJECT: Final = re.compile(r"\s*\{").match
_SURROGATES: Final = re.compile(
    r"(?P<before>(?<!\\)(?:\\\\)*)\\u(?P<high>[dD][89abAB][0-9a-fA-F]{2})\\u(?P<low>[dD][c-fC-F][0-9a-fA-F]{2})"
)
_INTEGER: Final = re.compile(r"[-+]?[0-9]+")
_FLOAT: Final = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_WORDS: Final[dict[str, Any]] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_DIGITS_MAX: Final = 300
# Explicit tags of scalars, and the types of the values that they allow; `!!str` takes any.
_TAGGED: Final[Mapping[str, tuple[type, ...]]] = {
    "!!int": (int,),
    "!!float": (int, float),
    "!!bool": (bool,),
    "!!null": (NoneType,),
}
_BYTE_FIRST: Final = 0xDC80  # how "surrogateescape" writes the bytes 0x80 to 0xFF (PEP 383)
_BYTE_LAST: Final = 0xDCFF


@dataclass(frozen=True, slots=True)
class Dialect:
    """What unquoted scalars mean, as values and as keys. A key that does not come out as a string is a flaw.

    Of equal keys in a mapping the first one is read and the others are flaws; with `last_wins` the last one is read,
    as Go's readers do, and the document lists the others in `repeated`. With `ends_lines`, the last line of a file ends
    even without a line break: it matters to a `|` block there. The document lists the unquoted scalars that are
    ambiguous.
    """

    value: Callable[[str], Any]
    key: Callable[[str], Any]
    last_wins: bool = False
    ends_lines: bool = True
    is_ambiguous: Callable[[str], bool] | None = None


@dataclass(frozen=True, slots=True)
class Unread:
    """A document that could not be read, and why."""

    text: str
    flaws: list[Flaw]


@dataclass(slots=True)
class Document:
    """One document: its tree, its flaws as YAML, and the places of its values and keys by path.

    `repeated` are paths of keys that occur more than once, where the dialect allows that, with their last places.
    `ambiguous` and `ambiguous_keys` have the texts of values and keys that the dialect calls ambiguous, by path.
    """

    tree: Any
    position: Position
    flaws: list[Flaw] = field(default_factory=list[Flaw])
    positions: dict[str, Position] = field(default_factory=dict[str, Position])
    keys: dict[str, Position] = field(default_factory=dict[str, Position])
    repeated: dict[str, Position] = field(default_factory=dict[str, Position])
    ambiguous: dict[str, str] = field(default_factory=dict[str, str])
    ambiguous_keys: dict[str, str] = field(default_factory=dict[str, str])


def loader_over(parser: Any) -> Any:
    """Return a loader whose nodes have an empty tag unless the text has one: the dialect reads plain scalars."""

    def resolve(_: Any, kind: type, value: Any, implicit: Any) -> str:
        return _MERGE if kind is yaml.ScalarNode and value == "<<" and implicit[0] else ""

    return type("Loader", (parser,), {"resolve": resolve})


_LOADER: Any = loader_over(getattr(yaml, "CSafeLoader", yaml.SafeLoader))


def read_documents(
    file: str, text: str, *, bytes_max: int = BYTES_MAX, dialect: Dialect | None = None
) -> tuple[list[Document], list[Unread]]:
    """Return the documents of a text that can be read, and the others. Without a dialect: YAML 1.2's core schema.

    A text that was decoded with "surrogateescape" (PEP 383) has its bytes that are not UTF-8 told with their place.
    """
    if len(text) > bytes_max:
        says = f"the file is too large: more than {bytes_max:,} characters are not read"
        flaw = Flaw(position=Position(file, 1, 1), says=says, hint="split it: one service a file is usual")
        return [], [Unread(text, [flaw])]
    documents: list[Document] = []
    unread: list[Unread] = []
    # Line breaks of other systems count as one, as editors show them; the mark of byte order is no text.
    text = text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
    dialect = dialect or Dialect(value=plain_scalar, key=plain_scalar)
    if dialect.ends_lines and not text.endswith("\n"):
        text += "\n"
    for part, first_line in _parts(text):
        reader = _Reader(file, first_line, dialect)
        document = reader.read(part)
        if document is not None:
            document.flaws += reader.flaws
            documents.append(document)
        elif reader.flaws:
            unread.append(Unread(part, reader.flaws))
    return documents, unread


def _parts(text: str) -> Iterator[tuple[str, int]]:
    """Yield each document's text with the number of lines before it."""
    if (objects := _json_objects(text)) is not None:
        yield from objects
        return
    starts = [0, *(match.start() for match in _DOCUMENT_START.finditer(text)), len(text)]
    for start, end in itertools.pairwise(starts):
        part = text[start:end]
        if not _NOTHING.fullmatch(part.removeprefix("---")):
            yield part, text.count("\n", 0, start)


def _json_objects(text: str) -> list[tuple[str, int]] | None:
    """Return the objects of a text that is JSON, one after another as kubectl reads them; None where it is not.

    Text before an object in its line becomes blanks, so that columns stay the same. A tab in JSON is white space, and
    its pairs of surrogates, which YAML does not have, become the character that they stand for.
    """
    parts: list[tuple[str, int]] = []
    end = 0
    while start := _JSON_OBJECT(text, end):
        try:
            _, end = _JSON.raw_decode(text, start.end() - 1)
        except (ValueError, RecursionError):
            return None
        line_start = text.rfind("\n", 0, start.end()) + 1
        blanks = " " * (start.end() - 1 - line_start)
        part = _SURROGATES.sub(_character, text[start.end() - 1 : end].replace("\t", " "))
        parts.append((blanks + part, text.count("\n", 0, start.end())))
    return parts if parts and not text[end:].strip() else None


def _character(pair: re.Match[str]) -> str:
    high, low = int(pair["high"], 16), int(pair["low"], 16)
    return pair["before"] + chr(0x10000 + ((high & 0x3FF) << 10 | low & 0x3FF))


class _Reader:
    """Reads one document."""

    def __init__(self, file: str, first_line: int, dialect: Dialect) -> None:
        self._file = file
        self._first_line = first_line
        self._dialect = dialect
        self._nodes = 0
        self._path_characters = 0
        self._ancestors: list[int] = []
        self._document: Document
        self.flaws: list[Flaw] = []

    def read(self, text: str) -> Document | None:
        if (bad := _UNPRINTABLE.search(text)) is not None:
            line, start = text.count("\n", 0, bad.start()), text.rfind("\n", 0, bad.start()) + 1
            position = Position(self._file, self._first_line + line + 1, bad.start() - start + 1)
            self.flaws.append(_unprintable(bad[0], position))
            return None
        try:
            node = yaml.compose(text, _LOADER)
        except yaml.MarkedYAMLError as error:
            self._syntax(error, text)
            return None
        except (yaml.YAMLError, ValueError, RecursionError) as error:
            position = Position(self._file, self._first_line + 1, 1)
            self.flaws.append(Flaw(position=position, says=f"this is no YAML: {_first_line(error)}"))
            return None
        if node is None:
            return None
        self._document = Document(None, self._at(node.start_mark))
        try:
            self._document.tree = self._value(node, "")
        except _TooLarge as error:
            self.flaws.append(Flaw(position=self._at(error.node.start_mark), says=error.says, hint=error.hint))
            return None
        return self._document

    def _value(self, node: Any, path: str) -> Any:
        self._nodes += 1
        self._path_characters += len(path)
        if self._path_characters > PATH_CHARACTERS_MAX:
            raise _TooLarge(node, "the keys of the document are too long for so many values", "write shorter keys")
        if self._nodes > NODES_MAX:
            raise _TooLarge(node, f"the document unfolds to more than {NODES_MAX:,} values", "do not nest aliases")
        if len(self._ancestors) > DEPTH_MAX:
            raise _TooLarge(node, f"the document is nested more than {DEPTH_MAX} deep", None)
        if path:
            self._document.positions[path] = self._at(node.start_mark)
        if isinstance(node, yaml.ScalarNode):
            if self._is_ambiguous(node):
                self._document.ambiguous[path] = str(node.value)
            return self._scalar(node, self._dialect.value)
        if id(node) in self._ancestors:
            raise _TooLarge(node, "an alias stands inside what it names, so the document has no end", None)
        self._ancestors.append(id(node))
        try:
            if isinstance(node, yaml.SequenceNode):
                return [self._value(each, item(path, index)) for index, each in enumerate(node.value)]
            return self._mapping(node, path)
        finally:
            self._ancestors.pop()

    def _mapping(self, node: Any, path: str) -> dict[str, Any]:
        tree: dict[str, Any] = {}
        first: dict[str, Position] = {}
        repeated: list[tuple[str, Any, Position]] = []
        keys = [None if each.tag == _MERGE else self._key(each) for each, _ in node.value]
        last = {key: index for index, key in enumerate(keys)}
        for index, (key_node, value_node) in enumerate(node.value):
            key, at = keys[index], self._at(key_node.start_mark)
            if key_node.tag == _MERGE:
                self._merge(tree, value_node, path)
            if key is None:
                continue
            if key in first:
                repeated.append((key, key_node.start_mark, first[key]))
            if last[key] == index if self._dialect.last_wins else key not in first:
                where = child(path, key)
                self._document.keys[where] = at
                if self._is_ambiguous(key_node):
                    self._document.ambiguous_keys[where] = key
                tree[key] = self._value(value_node, where)
            first.setdefault(key, at)
        self._repeated(repeated, path)
        return tree

    def _repeated(self, repeated: list[tuple[str, Any, Position]], path: str) -> None:
        """Two documents without `---` between them repeat most of their keys: one error, and not four."""
        if self._dialect.last_wins:
            self._document.repeated |= {child(path, key): self._at(mark) for key, mark, _ in repeated}
            return
        if len(repeated) > 1 and not path:
            _, mark, _ = repeated[0]
            says = f"the keys {', '.join(f'`{key}`' for key, *_ in repeated)} stand here a second time"
            hint = "is a line `---` missing before this one?"
            self.flaws.append(Flaw(position=self._at(mark), says=says, hint=hint))
            return
        for key, mark, first in repeated:
            says = f"the key `{key}` stands here a second time"
            self.flaws.append(Flaw(position=self._at(mark), says=says, hint=f"the first is at {first}; remove one"))

    def _merge(self, tree: dict[str, Any], node: Any, path: str) -> None:
        """Take over what `<<` names; what is written beside it wins."""
        for each in node.value if isinstance(node, yaml.SequenceNode) else [node]:
            if not isinstance(each, yaml.MappingNode):
                self.flaws.append(
                    Flaw(position=self._at(node.start_mark), says="`<<` takes a mapping or a list of them")
                )
                return
            for key, value in self._value(each, path).items():
                tree.setdefault(key, value)
                self._document.keys.pop(child(path, key), None)

    def _key(self, node: Any) -> str | None:
        if isinstance(node, yaml.ScalarNode):
            value = self._scalar(node, self._dialect.key)
            if isinstance(value, str) and len(value) > KEY_CHARACTERS_MAX:
                raise _TooLarge(node, f"a key has more than {KEY_CHARACTERS_MAX:,} characters", None)
            if isinstance(value, str):
                return value
            hint = f'put it in quotes: "{node.value}"'
            self.flaws.append(
                Flaw(position=self._at(node.start_mark), says=f"the key `{node.value}` is no string", hint=hint)
            )
            return None
        self.flaws.append(
            Flaw(position=self._at(node.start_mark), says="a key must be a plain word, and this is a collection")
        )
        return None

    def _is_ambiguous(self, node: Any) -> bool:
        test = self._dialect.is_ambiguous
        return test is not None and not node.style and not node.tag and test(node.value)

    def _scalar(self, node: Any, plain: Callable[[str], Any]) -> Any:
        tag = node.tag.replace(_TAGS, "!!")
        if not tag:
            return node.value if node.style else plain(node.value)
        value = node.value if tag == "!!str" else plain(node.value)
        if tag == "!!str" or type(value) in _TAGGED.get(tag, ()):
            return value
        known = tag in _TAGGED
        says = f"`{node.value}` is not a value of the tag `{tag}`" if known else f"the tag `{tag}` is not known"
        self.flaws.append(Flaw(position=self._at(node.start_mark), says=says, hint="remove it"))
        return value

    def _at(self, mark: Any) -> Position:
        return Position(self._file, self._first_line + mark.line + 1, mark.column + 1)

    def _syntax(self, error: yaml.MarkedYAMLError, text: str) -> None:
        mark = error.problem_mark or error.context_mark
        if "quoted scalar" in (error.context or "") and "unexpected" in (error.problem or ""):
            mark = error.context_mark  # where the quote opens; that it never closes shows at the end only
        position = self._at(mark) if mark else Position(self._file, self._first_line + 1, 1)
        says, hint = _explained(error, _line_from(text, mark))
        self.flaws.append(Flaw(position=position, says=says, hint=hint))


class _TooLarge(Exception):  # noqa: N818 - ends the reading of one document; never leaves this module
    def __init__(self, node: Any, says: str, hint: str | None) -> None:
        super().__init__(says)
        self.node = node
        self.says = says
        self.hint = hint


def plain_scalar(text: str) -> Any:
    """Return what an unquoted scalar means in YAML 1.2's core schema.

    >>> [plain_scalar(text) for text in ("on", "true", "3", "1e3", "0o17", "~", "1.5")]
    ['on', True, 3, 1000.0, 15, None, 1.5]
    """
    if text in _WORDS:
        return _WORDS[text]
    if text[0] not in "+-.0123456789" or len(text) > _DIGITS_MAX:
        return text
    if _INTEGER.fullmatch(text):
        return int(text)
    if text.startswith(("0x", "0o")):
        try:
            return int(text, 0)
        except ValueError:
            return text
    return float(text) if _FLOAT.fullmatch(text) else text


def _line_from(text: str, mark: Any) -> str:
    """Return the rest of the line at a mark."""
    lines: list[str] = text.split("\n")
    return lines[int(mark.line)][int(mark.column) :] if mark and mark.line < len(lines) else ""


# What libyaml says (of the problem, or of what it was reading) -> what is wrong in the user's terms, and a hint.
_ROWS: Final[tuple[tuple[str, str, str | None], ...]] = (
    ("unknown escape", "double-quoted text has a backslash before the wrong character", "use single quotes"),
    ("quoted scalar", "the quote that opens here is not closed", "close it"),
    ("an alias", "`*` must be followed by a name", "put the value in quotes if text is meant"),
    ("an anchor", "`&` must be followed by a name", "put the value in quotes if text is meant"),
    ("could not find expected ':'", "a ':' is missing after a key", "write `key: value`"),
    ("mapping values are not allowed", "a ':' is not allowed here", "check the indentation, or put the text in quotes"),
    ("flow sequence", "a `[` is not closed before this", "close it, or put a comma between its items"),
    ("flow mapping", "a `{` is not closed before this", "close it, or put a comma between its items"),
    ("flow node", "a value is missing here, or cannot begin like this", "put text with { or [ in it in quotes"),
    ("did not find expected key", "this line does not fit the indentation around it", "align it with its neighbours"),
    ("expected <block end>", "this line does not fit the indentation around it", "align it with its neighbours"),
)


def _explained(error: yaml.MarkedYAMLError, rest: str) -> tuple[str, str | None]:
    """Say in the user's terms what libyaml says in a parser's."""
    problem, reading = error.problem or "this is no YAML", error.context or ""
    if rest.startswith("\t"):
        return "a tab stands where YAML wants spaces", "indent with spaces"
    if "undefined alias" in problem:
        return problem, "define it before with `&name`"
    if "start any token" in problem and rest:
        return f"a value cannot begin with `{rest[0]}`", "put the value in quotes"
    if "flow node" in reading and not rest:
        return "a `[` or `{` is not closed before this", "close it"
    for words, says, hint in _ROWS:
        if words in problem or words in reading:
            return says, hint
    return problem, error.context


def _unprintable(character: str, position: Position) -> Flaw:
    number = ord(character)
    if _BYTE_FIRST <= number <= _BYTE_LAST:
        says = f"the byte 0x{number - _BYTE_FIRST + 0x80:02X} is not UTF-8"
        return Flaw(position=position, says=says, hint="save the file as UTF-8; is it a text file?")
    says = f"the character U+{number:04X} is not allowed in YAML"
    return Flaw(position=position, says=says, hint="remove it; is this a text file?")


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]
