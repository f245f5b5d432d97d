"""Find the names and fields that a CEL expression reads, the functions that it calls, and their offsets.

Called by domain.expression, hydrate.environments, hydrate.evaluation, hydrate.expressions, kit.cel, kit.cel_cost,
policy.admission and policy.written. The library parses. Its serialised CheckedExpr (cel.expr.CheckedExpr, from
xds-protos) has every node with its offset in the text, so a word in a string or a comment is never mistaken for a name,
and the scope of a macro's variables separates them from names.

Invariant: offsets count the characters of the expression. Held by
tests/kit/test_cel.py::test_names_are_told_from_fields_functions_strings_and_comments.
Refused: Bateau's own parser or regular expressions, except for names joined by dots. Most expressions have that form,
and loading the library takes longer than reading them.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any, Final, cast

from bateau.kit.cel_function import Function
from bateau.kit.cel_library import CelError, program

if TYPE_CHECKING:
    from cel_expr_python.cel import Expression

_MERE_PATH: Final = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*", re.ASCII).fullmatch
_KEYWORDS: Final = frozenset(("false", "in", "null", "true"))
# Words that the specification allows as fields, but not as names.
_RESERVED: Final = frozenset((
    "as", "break", "const", "continue", "else", "for", "function", "if", "import", "let", "loop", "namespace",
    "package", "return", "var", "void", "while",
))  # fmt: skip
_OPTIONAL: Final = frozenset(("_?._", "_[?_]"))
_SELECTED: Final = ("_[_]", "_?._", "_[?_]")

Step = str | int


@dataclass(frozen=True, slots=True)
class Path:
    """A free name that an expression reads, followed by constant fields and indexes. `at` is the offset of the name."""

    name: str
    steps: tuple[Step, ...]
    at: int


@dataclass(frozen=True, slots=True)
class Call:
    """A call, including operators (`_+_`) and the calls in expanded macros. `at` is the offset of its parenthesis.

    `arguments` has the constant arguments by index, without the target; `count` is the number of all arguments.
    """

    function: str
    arguments: Mapping[int, object]
    count: int
    at: int


@dataclass(frozen=True)
class Reading:
    """The paths that an expression reads, and its calls. `bound` are the variables of its macros; `maps` counts `map`.

    `items` counts the items of its lists and maps beyond the first of each. `optional`: whether it uses optionals.
    """

    paths: tuple[Path, ...] = ()
    calls: tuple[Call, ...] = ()
    bound: frozenset[str] = frozenset()
    maps: int = 0
    items: int = 0
    optional: bool = False

    @cached_property
    def names(self) -> frozenset[str]:
        """The free names that the expression reads."""
        return frozenset(path.name for path in self.paths)

    @cached_property
    def fields(self) -> Mapping[str, frozenset[str]]:
        """The fields that the expression reads from each name."""
        found: dict[str, set[str]] = {}
        for path in self.paths:
            if path.steps and isinstance(path.steps[0], str):
                found.setdefault(path.name, set()).add(path.steps[0])
        return {name: frozenset(fields) for name, fields in found.items()}

    def fields_of(self, name: str) -> frozenset[str]:
        """Return the fields that the expression reads from `name`."""
        return self.fields.get(name, frozenset())


def mere_path(expression: str) -> tuple[str, ...] | None:
    """Return the names of an expression that consists of names joined by dots; None for any other expression.

    >>> mere_path("values.shop.tag"), mere_path("values.in"), mere_path("size(values)")
    (('values', 'shop', 'tag'), None, None)
    """
    if not _MERE_PATH(expression):
        return None
    steps = tuple(expression.split("."))
    return None if steps[0] in _RESERVED or not _KEYWORDS.isdisjoint(steps) else steps


def reading(expression: str, names: Iterable[str], functions: tuple[Function, ...] = ()) -> Reading:
    """Return the reading of `expression`, in which `names` are declared. Raises CelError if it does not compile.

    >>> found = reading("spec.all(c, c.image != params['image'])", ("params", "spec"))
    >>> sorted((path.name, path.steps, path.at) for path in found.paths), sorted(found.bound)
    ([('params', ('image',), 23), ('spec', (), 0)], ['c'])
    """
    return _reading(expression, tuple(sorted(names)), functions)


@lru_cache(maxsize=8192)
def _reading(expression: str, names: tuple[str, ...], functions: tuple[Function, ...]) -> Reading:
    if (steps := mere_path(expression)) and steps[0] in names:
        return Reading(paths=(Path(steps[0], steps[1:], 0),))
    return reading_of(program(expression, names, functions))


def reading_of(compiled: "Expression") -> Reading:
    """Return the reading of a compiled expression. Raises CelError if it is nested too deep."""
    from cel.expr import checked_pb2
    from google.protobuf import any_pb2
    from google.protobuf.message import DecodeError

    checked = cast("Any", checked_pb2).CheckedExpr()
    try:
        any_pb2.Any.FromString(compiled.serialize()).Unpack(checked)
    except DecodeError as error:
        raise CelError("the expression is nested too deep") from error
    walk = _Walk(checked.source_info.positions)
    walk.visit(checked.expr, frozenset())
    return walk.found()


def renamed(expression: str, found: Reading, names: Mapping[str, str]) -> str:
    """Return `expression`, of which `found` is the reading, with its free names replaced.

    >>> text = "spec.x == 'spec' || y.spec"
    >>> renamed(text, reading(text, ("spec", "y")), {"spec": "variables.spec"})
    "variables.spec.x == 'spec' || y.spec"
    """
    for path in sorted(found.paths, key=lambda path: path.at, reverse=True):
        if path.name in names:
            expression = expression[: path.at] + names[path.name] + expression[path.at + len(path.name) :]
    return expression


class _Walk:
    """Walks a syntax tree once. `bound` are the variables of the macros around a node."""

    def __init__(self, positions: Mapping[int, int]) -> None:
        self._positions = positions
        self._paths: dict[Path, None] = {}  # an expanded macro may contain copies of one node
        self._calls: dict[tuple[int, str], Call] = {}
        self._bound: set[str] = set()
        self._variable = ""  # the variable of the innermost macro
        self._maps = self._items = 0
        self._optional = False

    def found(self) -> Reading:
        return Reading(
            paths=tuple(self._paths),
            calls=tuple(self._calls.values()),
            bound=frozenset(self._bound),
            maps=self._maps,
            items=self._items,
            optional=self._optional,
        )

    def visit(self, node: Any, bound: frozenset[str]) -> None:
        """Record the names and calls in a node and below it."""
        kind = node.WhichOneof("expr_kind")
        path = self._path(node, bound)
        if path is not None:
            self._paths[path] = None
        if kind == "call_expr":
            self._call(node, bound, path)
        elif kind == "select_expr" and path is None:
            self.visit(node.select_expr.operand, bound)
        elif kind == "list_expr":
            self._optional |= bool(node.list_expr.optional_indices)
            self._items += max(0, len(node.list_expr.elements) - 1)
            for each in node.list_expr.elements:
                self.visit(each, bound)
        elif kind == "struct_expr":
            self._struct(node.struct_expr.entries, bound)
        elif kind == "comprehension_expr":
            self._fold(node.comprehension_expr, bound)

    def _struct(self, entries: Sequence[Any], bound: frozenset[str]) -> None:
        self._items += max(0, len(entries) - 1)
        for entry in entries:
            self._optional |= entry.optional_entry
            for each in (entry.map_key, entry.value):
                self.visit(each, bound)

    def _path(self, node: Any, bound: frozenset[str]) -> Path | None:
        """Return the path of a node that is a free name followed by constant steps; None for any other node."""
        steps: list[Step] = []
        while True:
            kind = node.WhichOneof("expr_kind")
            if kind == "ident_expr":
                name = str(node.ident_expr.name)
                if name in bound or name.startswith(("@", "#")):
                    return None
                return Path(name, tuple(reversed(steps)), self._at(node))
            if kind == "select_expr":
                steps.append(node.select_expr.field)
                node = node.select_expr.operand
            elif kind == "call_expr" and node.call_expr.function in _SELECTED:
                self._optional |= node.call_expr.function in _OPTIONAL
                operand, index = node.call_expr.args
                step = _constant(index)
                if not isinstance(step, str | int) or isinstance(step, bool):
                    return None
                steps.append(step)
                node = operand
            else:
                return None

    def _call(self, node: Any, bound: frozenset[str], path: Path | None) -> None:
        call = node.call_expr
        function = str(call.function)
        if any(map(_is_accumulator, call.args)) and function == "_+_":
            self._added(call.args[1], bound)
            return
        at = self._at(node)
        self._optional |= "optional" in function or function in _OPTIONAL
        constants = {index: value for index, each in enumerate(call.args) if (value := _constant(each)) is not None}
        self._calls[at, function] = Call(function, constants, len(call.args), at)
        if path is not None:
            return
        if call.HasField("target"):
            self.visit(call.target, bound)
        for each in call.args:
            self.visit(each, bound)

    def _added(self, node: Any, bound: frozenset[str]) -> None:
        """Record the list that a macro adds to its result: `map` adds one new item, `filter` the item itself."""
        if node.WhichOneof("expr_kind") == "list_expr":
            (element,) = node.list_expr.elements
            self._maps += element.ident_expr.name != self._variable
            self.visit(element, bound)

    def _fold(self, fold: Any, bound: frozenset[str]) -> None:
        """Record a macro: `all`, `map` and similar ones have a variable for items, `optMap` has one for its value."""
        variables = {name for name in (fold.iter_var, fold.iter_var2, fold.accu_var) if name[:1] not in {"", "@", "#"}}
        self._bound |= variables
        for each in (fold.iter_range, fold.accu_init):
            self.visit(each, bound)
        around, self._variable = self._variable, str(fold.iter_var)
        for each in (fold.loop_condition, fold.loop_step, fold.result):
            self.visit(each, bound | variables)
        self._variable = around

    def _at(self, node: Any) -> int:
        return int(self._positions.get(node.id, 0))


def _is_accumulator(node: Any) -> bool:
    """Whether a node is the accumulator of a macro."""
    return node.WhichOneof("expr_kind") == "ident_expr" and node.ident_expr.name.startswith("@")


def _constant(node: Any) -> object:
    """Return the value of a literal; None for anything else, and for null."""
    if node.WhichOneof("expr_kind") != "const_expr":
        return None
    kind = node.const_expr.WhichOneof("constant_kind")
    return None if kind in {None, "null_value"} else getattr(node.const_expr, kind)
