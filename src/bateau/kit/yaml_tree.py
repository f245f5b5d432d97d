"""Parse YAML text into plain trees, with the position of every key and value.

Called by control, kit, runtimes, sources, specs, ui and wiring. The default is YAML 1.2's core schema, in which `y`,
`on` and `no` are strings.

Invariant: no text makes it raise. Every error is a Flaw with line and column, and an error in one document does not
hide errors in the next. Held by tests/kit/test_yaml_tree.py and tests/specs/test_reading.py.
Refused: PyYAML's constructors. They have no positions, read `on` as true, and let the last of two equal keys win.
"""

import itertools
import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from types import NoneType
from typing import Any, Final

import yaml

from bateau.kit.json_value import Json, JsonObject, Scalar
from bateau.kit.position import Flaw, Position, child, item

BYTES_MAX: Final = 2**20
NODES_MAX: Final = 100_000
DEPTH_MAX: Final = 64
KEY_CHARACTERS_MAX: Final = 1024
PATH_CHARACTERS_MAX: Final = 2**24  # sum over all paths: long keys above long lists multiply

_TAGS: Final = "tag:yaml.org,2002:"
_MERGE: Final = f"{_TAGS}merge"
DOCUMENT_START: Final = re.compile(r"^---(?=\s|$)|(?<=^\.\.\.\n)", re.MULTILINE)
_UNPRINTABLE: Final = re.compile("[^\t\n\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_NOTHING: Final = re.compile(r"(?:\s*(?:#[^\n]*|%[^\n]*|\.\.\.)?(?:\n|$))*")
_JSON: Final = json.JSONDecoder()
_JSON_OBJECT: Final = re.compile(r"\s*\{").match
_SURROGATES: Final = re.compile(
    r"(?P<before>(?<!\\)(?:\\\\)*)\\u(?P<high>[dD][89abAB][0-9a-fA-F]{2})\\u(?P<low>[dD][c-fC-F][0-9a-fA-F]{2})"
)
_INTEGER: Final = re.compile(r"[-+]?[0-9]+")
_FLOAT: Final = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_WORDS: Final[dict[str, bool | None]] = {
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
    """The meaning of unquoted scalars, as values and as keys. A key that does not become a string is an error.

    If a mapping repeats a key, the first one is used and the others are errors. With `last_wins`, as in Go's parsers,
    the last one is used, and the document lists the repeated keys in `repeated`. With `ends_lines`, the last line of a
    file is read as if it ended with a line break, which matters for a `|` block. `is_ambiguous` selects the unquoted
    scalars that the document lists as ambiguous.
    """

    value: Callable[[str], Scalar]
    key: Callable[[str], Scalar]
    last_wins: bool = False
    ends_lines: bool = True
    is_ambiguous: Callable[[str], bool] | None = None


@dataclass(frozen=True, slots=True)
class Unread:
    """A document that could not be parsed, and the errors."""

    text: str
    flaws: list[Flaw]


@dataclass(slots=True)
class Document:
    """One document: its tree, its errors as YAML, and the positions of its values and keys by path.

    `repeated` has the keys that occur more than once, if the dialect allows that, with their last positions.
    `ambiguous` and `ambiguous_keys` have the texts of ambiguous values and keys by path.
    """

    tree: Json
    position: Position
    flaws: list[Flaw] = field(default_factory=list[Flaw])
    positions: dict[str, Position] = field(default_factory=dict[str, Position])
    keys: dict[str, Position] = field(default_factory=dict[str, Position])
    repeated: dict[str, Position] = field(default_factory=dict[str, Position])
    ambiguous: dict[str, str] = field(default_factory=dict[str, str])
    ambiguous_keys: dict[str, str] = field(default_factory=dict[str, str])


def loader_over(parser: Any) -> Any:
    """Return a loader whose nodes have a tag only if the text has one, because the dialect decides on plain scalars."""

    def resolve(_: object, kind: type, value: object, implicit: tuple[bool, bool]) -> str:
        return _MERGE if kind is yaml.ScalarNode and value == "<<" and implicit[0] else ""

    return type("Loader", (parser,), {"resolve": resolve})


_LOADER: Any = loader_over(getattr(yaml, "CSafeLoader", yaml.SafeLoader))


def read_documents(
    file: str, text: str, *, bytes_max: int = BYTES_MAX, dialect: Dialect | None = None
) -> tuple[list[Document], list[Unread]]:
    """Return the documents of a text that can be parsed, and those that cannot. Default: YAML 1.2's core schema.

    Decode a file with "surrogateescape" (PEP 383), so that bytes that are not UTF-8 are reported with their position.
    """
    if len(text) > bytes_max:
        says = f"the file is too large: more than {bytes_max:,} characters are not read"
        flaw = Flaw(position=Position(file, 1, 1), says=says, hint="split it, for example into one file per service")
        return [], [Unread(text, [flaw])]
    documents: list[Document] = []
    unread: list[Unread] = []
    # CR LF and CR count as one line break, as in editors. A byte order mark is not part of the text.
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
    starts = [0, *(match.start() for match in DOCUMENT_START.finditer(text)), len(text)]
    line = 0
    for start, end in itertools.pairwise(starts):
        part = text[start:end]
        if not _NOTHING.fullmatch(part.removeprefix("---")):
            yield part, line
        line += part.count("\n")


def _json_objects(text: str) -> list[tuple[str, int]] | None:
    """Return the objects of a text that is a sequence of JSON objects, as kubectl reads it; None for any other text.

    Blanks replace the text before an object in its line, so that columns stay the same. Tabs, which are white space in
    JSON, become spaces, and escaped surrogate pairs, which YAML does not have, become the character that they encode.
    """
    parts: list[tuple[str, int]] = []
    end, counted, line = 0, 0, 0
    while start := _JSON_OBJECT(text, end):
        try:
            _, end = _JSON.raw_decode(text, start.end() - 1)
        except (ValueError, RecursionError):
            return None
        line_start = text.rfind("\n", 0, start.end()) + 1
        blanks = " " * (start.end() - 1 - line_start)
        part = _SURROGATES.sub(_character, text[start.end() - 1 : end].replace("\t", " "))
        line += text.count("\n", counted, start.end())
        counted = start.end()
        parts.append((blanks + part, line))
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
            self.flaws.append(Flaw(position=position, says=f"this is not valid YAML: {_first_line(error)}"))
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

    def _value(self, node: yaml.Node, path: str) -> Json:
        self._nodes += 1
        self._path_characters += len(path)
        if self._path_characters > PATH_CHARACTERS_MAX:
            raise _TooLarge(node, "the keys of the document are too long for so many values", "write shorter keys")
        if self._nodes > NODES_MAX:
            raise _TooLarge(node, f"the document expands to more than {NODES_MAX:,} values", "do not nest aliases")
        if len(self._ancestors) > DEPTH_MAX:
            raise _TooLarge(node, f"the document is nested more than {DEPTH_MAX} deep", None)
        if path:
            self._document.positions[path] = self._at(node.start_mark)
        if isinstance(node, yaml.ScalarNode):
            if self._is_ambiguous(node):
                self._document.ambiguous[path] = str(node.value)
            return self._scalar(node, self._dialect.value)
        if id(node) in self._ancestors:
            raise _TooLarge(node, "an alias is inside the node that it refers to, so the document never ends", None)
        self._ancestors.append(id(node))
        try:
            if isinstance(node, yaml.SequenceNode):
                return [self._value(each, item(path, index)) for index, each in enumerate(node.value)]
            return self._mapping(node, path)
        finally:
            self._ancestors.pop()

    def _mapping(self, node: yaml.Node, path: str) -> JsonObject:
        tree: JsonObject = {}
        first: dict[str, Position] = {}
        repeated: list[tuple[str, yaml.Mark, Position]] = []
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

    def _repeated(self, repeated: list[tuple[str, yaml.Mark, Position]], path: str) -> None:
        """Report repeated keys. Two documents without `---` between them repeat most keys: one error, not four."""
        if self._dialect.last_wins:
            self._document.repeated |= {child(path, key): self._at(mark) for key, mark, _ in repeated}
            return
        if len(repeated) > 1 and not path:
            _, mark, _ = repeated[0]
            says = f"the keys {', '.join(f'`{key}`' for key, *_ in repeated)} are repeated here"
            hint = "is a line `---` missing before this one?"
            self.flaws.append(Flaw(position=self._at(mark), says=says, hint=hint))
            return
        for key, mark, first in repeated:
            says = f"the key `{key}` is repeated here"
            self.flaws.append(Flaw(position=self._at(mark), says=says, hint=f"the first is at {first}; remove one"))

    def _merge(self, tree: JsonObject, node: yaml.Node, path: str) -> None:
        """Add the keys of the mappings that `<<` names. Keys of the mapping itself take precedence."""
        for each in node.value if isinstance(node, yaml.SequenceNode) else [node]:
            merged = self._value(each, path) if isinstance(each, yaml.MappingNode) else None
            if not isinstance(merged, dict):
                self.flaws.append(
                    Flaw(position=self._at(node.start_mark), says="`<<` must refer to a mapping or a list of mappings")
                )
                return
            for key, value in merged.items():
                tree.setdefault(key, value)
                self._document.keys.pop(child(path, key), None)

    def _key(self, node: yaml.Node) -> str | None:
        if isinstance(node, yaml.ScalarNode):
            value = self._scalar(node, self._dialect.key)
            if isinstance(value, str) and len(value) > KEY_CHARACTERS_MAX:
                raise _TooLarge(node, f"a key has more than {KEY_CHARACTERS_MAX:,} characters", None)
            if isinstance(value, str):
                return value
            hint = f'put it in quotes: "{node.value}"'
            self.flaws.append(
                Flaw(position=self._at(node.start_mark), says=f"the key `{node.value}` is not a string", hint=hint)
            )
            return None
        self.flaws.append(
            Flaw(position=self._at(node.start_mark), says="a key must be a string, but this is a list or a mapping")
        )
        return None

    def _is_ambiguous(self, node: yaml.ScalarNode) -> bool:
        test = self._dialect.is_ambiguous
        return test is not None and not node.style and not node.tag and test(node.value)

    def _scalar(self, node: yaml.ScalarNode, plain: Callable[[str], Scalar]) -> Scalar:
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

    def _at(self, mark: yaml.Mark) -> Position:
        return Position(self._file, self._first_line + mark.line + 1, mark.column + 1)

    def _syntax(self, error: yaml.MarkedYAMLError, text: str) -> None:
        mark = error.problem_mark or error.context_mark
        if "quoted scalar" in (error.context or "") and "unexpected" in (error.problem or ""):
            mark = error.context_mark  # the position of the opening quote: the parser fails only at the end of the text
        position = self._at(mark) if mark else Position(self._file, self._first_line + 1, 1)
        says, hint = _explained(error, _line_from(text, mark))
        self.flaws.append(Flaw(position=position, says=says, hint=hint))


class _TooLarge(Exception):  # noqa: N818 - ends the parsing of one document; never leaves this module
    def __init__(self, node: yaml.Node, says: str, hint: str | None) -> None:
        super().__init__(says)
        self.node = node
        self.says = says
        self.hint = hint


def plain_scalar(text: str) -> Scalar:
    """Return the value of an unquoted scalar in YAML 1.2's core schema.

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


def _line_from(text: str, mark: yaml.Mark | None) -> str:
    """Return the rest of the line at a mark."""
    lines: list[str] = text.split("\n")
    return lines[mark.line][mark.column :] if mark and mark.line < len(lines) else ""


# Words in libyaml's problem or context -> the message in the user's terms, and a hint.
_ROWS: Final[tuple[tuple[str, str, str | None], ...]] = (
    ("maximum nesting depth", f"the document is nested more than {DEPTH_MAX} deep", None),
    ("unknown escape", "double-quoted text has a backslash before the wrong character", "use single quotes"),
    ("quoted scalar", "the quote that opens here is not closed", "close it"),
    ("an alias", "`*` must be followed by a name", "if this is text, put it in quotes"),
    ("an anchor", "`&` must be followed by a name", "if this is text, put it in quotes"),
    ("could not find expected ':'", "a ':' is missing after a key", "write `key: value`"),
    ("mapping values are not allowed", "a ':' is not allowed here", "check the indentation, or put the text in quotes"),
    ("flow sequence", "a `[` is not closed before this", "close it, or put a comma between its items"),
    ("flow mapping", "a `{` is not closed before this", "close it, or put a comma between its items"),
    ("flow node", "a value is missing here, or cannot begin like this", "put text with { or [ in it in quotes"),
    ("did not find expected key", "this line does not fit the indentation around it", "align it with its neighbours"),
    ("expected <block end>", "this line does not fit the indentation around it", "align it with its neighbours"),
)


def _explained(error: yaml.MarkedYAMLError, rest: str) -> tuple[str, str | None]:
    """Return the message and the hint for an error of libyaml, in the user's terms."""
    problem, reading = error.problem or "this is not valid YAML", error.context or ""
    if rest.startswith("\t"):
        return "YAML does not allow a tab here", "indent with spaces"
    if "undefined alias" in problem:
        return problem, "define it before with `&name`"
    if "start any token" in problem and rest:
        return f"a value cannot begin with `{rest[0]}`", "put the value in quotes"
    if "flow node" in reading and not rest:
        return "a `[` or `{` is not closed before this", "close it"
    for words, says, hint in _ROWS:
        if words in problem or words in reading:
            return says, hint
    return (f"{problem} ({error.context})" if error.context else problem), None


def _unprintable(character: str, position: Position) -> Flaw:
    number = ord(character)
    if _BYTE_FIRST <= number <= _BYTE_LAST:
        says = f"the byte 0x{number - _BYTE_FIRST + 0x80:02X} is not UTF-8"
        return Flaw(position=position, says=says, hint="save the file as UTF-8; is it a text file?")
    says = f"the character U+{number:04X} is not allowed in YAML"
    return Flaw(position=position, says=says, hint="remove it; is this a text file?")


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]
