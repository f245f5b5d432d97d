r"""Write plain trees as YAML that every parser reads as the same values.

Called by cli, control.bundle, control.piece, render.installation.chart, sources.foreign.kustomize_trace and
wiring.key_documents. Knows nothing about Kubernetes or Bateau.

Invariant: PyYAML (YAML 1.1), ruamel.yaml (1.2) and kubectl (go-yaml) all read the same values back; the same tree gives
the same bytes. Held by tests/kit/test_yaml_writer.py.
Refused: PyYAML's dump, which does not quote `y`, `1e3` and `0o17`, although other parsers read them as a boolean and
numbers. Here only a short list of safe scalars is unquoted.
"""

import functools
import math
import re
from collections.abc import Iterable, Mapping
from typing import Final

from bateau.kit.json_value import ReadJson, ReadObject

# Starts with a letter, `/` or `_`: no number, date or base-60 integer of any version of YAML does.
_PLAIN: Final = re.compile(r"[A-Za-z_/](?:[A-Za-z0-9_./@-]|:(?=[A-Za-z0-9_/]))*").fullmatch
_WORDS: Final = frozenset(("y", "n", "yes", "no", "on", "off", "true", "false", "null", "inf", "nan"))
# Characters that a parser may strip, fold, reject or read as the end of a line.
_ESCAPED: Final = re.compile('["\\\\\0-\x1f\x7f-\xa0\xad\u2028\u2029\u200e\u200f\ufeff\ufffe\uffff]')
_SHORT: Final = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\t": "\\t", "\r": "\\r", "\0": "\\0"}
# Lines that start and end with a visible character; no blank line at either end, except the end of the last line.
_LITERAL: Final = re.compile(r"\S[^\n]*(?:\n|\n+\S[^\n]*)*").fullmatch
_RISKY_IN_LITERAL: Final = re.compile(
    "[\0-\x09\x0b-\x1f\x7f-\xa0\xad\u2028\u2029\u200e\u200f\ufeff\ufffe\uffff]| \n| $|\n "
)
_MAPPINGS: Final = (dict, Mapping)  # the first check is fast, the second searches the class's registry
_KEY_CHARACTERS_MAX: Final = 120  # libyaml searches 1,024 bytes for the colon, others less


def write(documents: Iterable[ReadJson]) -> str:
    """Return a stream of documents, each after its own `---`. Raises ValueError or TypeError as `write_document`."""
    return "".join(f"---\n{write_document(document)}" for document in documents)


def split_documents(text: str) -> list[str]:
    r"""Return the documents of a stream that `write` made, each with its `---`: no line inside one begins with that.

    >>> split_documents(write([{"a": "---"}, {"b": "x\n---\ny"}]))
    ['---\na: "---"\n', '---\nb: |-\n  x\n  ---\n  y\n']
    """
    return [f"---\n{part}" for part in re.split(r"^---\n", text, flags=re.MULTILINE)[1:]]


def write_document(tree: ReadJson) -> str:
    """Return one document in block style, keys in the order of the mapping.

    Raises ValueError for lone surrogates, which no encoding of YAML can represent, and TypeError for values other than
    mappings, lists, strings, numbers, booleans and None.

    >>> print(write_document({"a": ["y", 1, {"b": "1e3"}], "c": {}}), end="")
    a:
    - "y"
    - 1
    - b: "1e3"
    c: {}
    """
    out: list[str] = []
    if isinstance(tree, _MAPPINGS) and tree:
        _mapping(tree, "", out, first="")
    elif isinstance(tree, list | tuple) and tree:
        _sequence(tree, "", out, first="")
    else:
        out.append(f"{_scalar(tree)}\n")
    return "".join(out)


def _mapping(tree: ReadObject, indent: str, out: list[str], *, first: str) -> None:
    """Write the pairs; `first` replaces the indent of the first pair (after `- `)."""
    start = first or indent
    deeper = f"{indent}  "
    for key, value in tree.items():
        written = _string(key)
        if type(value) is str and "\n" not in value and len(written) <= _KEY_CHARACTERS_MAX:
            out.append(f"{start}{written}: {_string(value)}\n")  # nine out of ten
            start = indent
            continue
        if len(written) > _KEY_CHARACTERS_MAX:
            out.append(f"{start}? {written}\n")
            lead = f"{indent}:"
        else:
            lead = f"{start}{written}:"
        start = indent
        if isinstance(value, str):
            if "\n" in value and (block := _literal(value, deeper)):
                out.append(f"{lead} {block}")
            else:
                out.append(f"{lead} {_string(value)}\n")
        elif isinstance(value, _MAPPINGS) and value:
            out.append(f"{lead}\n")
            _mapping(value, deeper, out, first="")
        elif isinstance(value, list | tuple) and value:
            out.append(f"{lead}\n")
            _sequence(value, indent, out, first="")
        else:
            out.append(f"{lead} {_scalar(value)}\n")


def _sequence(items: Iterable[ReadJson], indent: str, out: list[str], *, first: str) -> None:
    start = f"{first or indent}- "
    deeper = f"{indent}  "
    for each in items:
        if isinstance(each, _MAPPINGS) and each:
            _mapping(each, deeper, out, first=start)
        elif isinstance(each, list | tuple) and each:
            _sequence(each, deeper, out, first=start)
        elif isinstance(each, str) and "\n" in each and (block := _literal(each, deeper)):
            out.append(f"{start}{block}")
        else:
            out.append(f"{start}{_scalar(each)}\n")
        start = f"{indent}- "


def _scalar(value: object) -> str:
    if isinstance(value, str):
        return _string(value)
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return _float(value)
    if isinstance(value, _MAPPINGS):
        return "{}"
    if isinstance(value, list | tuple):
        return "[]"
    raise TypeError(f"{type(value).__name__} is not allowed in a plain tree")


def _float(value: float) -> str:
    if not math.isfinite(value):
        return ".nan" if math.isnan(value) else ".inf" if value > 0 else "-.inf"
    digits, exponent, power = repr(value).partition("e")
    # YAML 1.1 reads a number with an exponent as a string unless it has a point and a sign.
    return f"{digits if '.' in digits else f'{digits}.0'}{exponent}{power}"


@functools.lru_cache(maxsize=65536)
def _string(value: str) -> str:
    """Return the string unquoted if every parser reads it as a string, else in double quotes on one line."""
    if _PLAIN(value) and value.lower() not in _WORDS:
        return value
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise ValueError(f"{value!r} contains half of a surrogate pair") from error
    return f'"{_ESCAPED.sub(_escape, value)}"'


def _escape(match: re.Match[str]) -> str:
    character = match[0]
    if short := _SHORT.get(character):
        return short
    code = ord(character)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"  # noqa: PLR2004


def _literal(value: str, indent: str) -> str | None:
    """Return the string as a literal block with its lines, or None if a parser might change it."""
    if value.endswith("\n\n") or not _LITERAL(value) or _RISKY_IN_LITERAL.search(value):
        return None
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise ValueError(f"{value!r} contains half of a surrogate pair") from error
    lines = [f"{indent}{line}\n" if line else "\n" for line in value.removesuffix("\n").split("\n")]
    return f"{'|' if value.endswith(chr(10)) else '|-'}\n{''.join(lines)}"
