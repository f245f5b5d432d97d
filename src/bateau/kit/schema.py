"""Frozen dataclasses as a schema: documented fields with units, patterns and bounds.

Called by api, control, domain, hydrate, kit, policy and specs. Knows nothing of Bateau.

Invariant: `check` finds all errors in a tree, not only the first; `build` takes only trees that passed. Held by
tests/kit/test_schema.py.
Refused: pydantic. It keeps the values only, and loses their positions.
"""

import dataclasses
import re
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Final, TypeVar

from bateau.kit.cel_library import CelError
from bateau.kit.cel_text import OPEN, parts
from bateau.kit.json_value import SCALARS, ReadJson, ReadObject, Scalar
from bateau.kit.position import Flaw, Position, child, item
from bateau.kit.quantity import (
    QuantityError,
    format_bytes,
    format_cores,
    format_seconds,
    parse_bytes,
    parse_cores,
    parse_seconds,
)
from bateau.kit.schema_field import DESCRIBED, Described, Example, Shape, fields_of, in_words
from bateau.kit.suggest import did_you_mean, listed, suggestion

Bytes = Annotated[int, "bytes"]
Cores = Annotated[float, "cores"]
Seconds = Annotated[float, "seconds"]

PARSERS: Final[Mapping[str, Callable[[str | float], float]]] = {
    "bytes": parse_bytes,
    "cores": parse_cores,
    "seconds": parse_seconds,
}
FORMATTERS: Final[Mapping[str, Callable[[float], str]]] = {
    "bytes": lambda size: format_bytes(int(size)),
    "cores": format_cores,
    "seconds": format_seconds,
}

_T = TypeVar("_T")


_ANYTHING: Final = Described()
_MAPPINGS: Final = (dict, Mapping)  # the first check is fast, the second searches the class's registry
_SCALARS: Final = (str, int, float)
_UNCHANGED: Final = frozenset(("any", "boolean", "enum", "integer", "string"))  # the value is the one in the tree


def described(
    doc: str,
    *,
    default: Any = dataclasses.MISSING,
    default_factory: Any = dataclasses.MISSING,
    pattern: str | None = None,
    pattern_says: str | None = None,
    minimum: float | None = None,
    maximum: float | None = None,
    examples: tuple[Example, ...] = (),
    unsupported: str | None = None,
    form: Callable[[str], tuple[str, str] | None] | None = None,
    concealed: bool = False,
) -> Any:
    """Declare a field: its documentation, default and bounds. `unsupported` completes the warning "FIELD ...".

    `form` checks a text: it returns (error, fix), or None for a valid text. The value of a `concealed` field may be a
    secret by mistake: no message repeats it, and of the checks only `form` applies.
    """
    return dataclasses.field(
        default=default,
        default_factory=default_factory,
        metadata={
            DESCRIBED: Described(
                doc=doc,
                pattern=pattern,
                pattern_says=pattern_says,
                minimum=minimum,
                maximum=maximum,
                examples=examples,
                unsupported=unsupported,
                form=form,
                concealed=concealed,
            )
        },
    )


@dataclasses.dataclass(slots=True, kw_only=True)
class Checker:
    """Checks trees against a schema. `value_at` and `key_at` return the position of a path.

    With `expressions`, every scalar that contains `${` passes, because it has no value yet.
    """

    value_at: Callable[[str], Position]
    key_at: Callable[[str], Position]
    expressions: bool = True
    flaws: list[Flaw] = dataclasses.field(default_factory=list[Flaw])

    def check(self, tree: ReadJson, cls: type, path: str, *, known: ReadObject | None = None) -> None:
        """Add each error of `tree` as a `cls` to `flaws`. Values that are the objects in `known` are skipped."""
        if not isinstance(tree, dict):
            self._add(path, f"{path} is {shown(tree)}; expected a mapping", _fields_hint(cls))
            return
        fields = fields_of(cls)
        for key, value in tree.items():
            if known and known.get(key) is value and value is not None:
                continue
            where = child(path, key)
            if key not in fields:
                hint = suggestion(key, fields, none="it has no fields")
                self.flaws.append(Flaw(position=self.key_at(where), says=f"unknown field `{key}` in {path}", hint=hint))
                continue
            declared = fields[key]
            if declared.meta.unsupported and value is not None:
                says = f"{where} {declared.meta.unsupported}"
                self.flaws.append(Flaw(position=self.key_at(where), says=says, warning=True))
            self._value(value, declared.shape, where, declared.meta, required=declared.required)
        for name, declared in fields.items():
            if declared.required and name not in tree:
                example = next(iter(declared.meta.examples), None)
                hint = f"add `{name}: {example}`" if example else declared.meta.doc
                self._add(path, f"{child(path, name)} is missing", hint)

    def _value(self, value: ReadJson, shape: Shape, path: str, meta: Described, *, required: bool = False) -> None:
        if value is None:
            if required or not (shape.nullable or shape.of == "any"):
                self._add(path, f"{path} is empty", "give it a value, or remove the line to get the default")
            return
        if shape.of == "object":
            self.check(value, shape.inner, path)
        elif shape.of == "list":
            self._list(value, shape, path)
        elif shape.of == "map":
            self._map(value, shape, path)
        elif shape.of != "any":
            self._scalar(value, shape, path, meta)

    def _list(self, value: ReadJson, shape: Shape, path: str) -> None:
        if not isinstance(value, list):
            self._add(
                path,
                f"{path} is {shown(value)}; expected a list",
                f"write `[{', '.join(str(value).split())}]`" if isinstance(value, SCALARS) else None,
            )
            return
        for index, each in enumerate(value):
            self._value(each, shape.inner, item(path, index), _ANYTHING)

    def _map(self, value: ReadJson, shape: Shape, path: str) -> None:
        if not isinstance(value, dict):
            self._add(path, f"{path} is {shown(value)}; expected a mapping", "write `name: value` lines below it")
            return
        for key, each in value.items():
            self._value(each, shape.inner, child(path, key), _ANYTHING)

    def _scalar(self, value: ReadJson, shape: Shape, path: str, meta: Described) -> None:
        if not isinstance(value, SCALARS):
            self._add(path, f"{path} is {shown(value)}; expected {in_words(shape)}", None)
        elif meta.concealed:
            self._concealed(value, shape, path, meta)
        elif self.expressions and isinstance(value, str) and OPEN in value:
            self._expression(value, path)
        elif shape.of == "enum":
            if value not in shape.inner:
                near = did_you_mean(str(value), shape.inner)
                choices = " | ".join(map(str, shape.inner))
                hint = f"{near} ({choices})" if near else f"one of: {choices}"
                self._add(path, f"{path} is {shown(value)}, which is not known", hint)
        elif shape.of == "quantity":
            self._quantity(value, shape, path, meta)
        elif isinstance(value, str) and "\0" in value:
            self._add(path, f"{path} contains a NUL character, which cannot be passed to a program", "remove it")
        elif _has_type(value, shape):
            self._bounds(value, path, meta)
        else:
            self._add(path, f"{path} is {shown(value)}; expected {in_words(shape)}", _type_hint(value, shape))

    def _concealed(self, value: Scalar, shape: Shape, path: str, meta: Described) -> None:
        if not isinstance(value, str):
            self._add(path, f"{path} is not {in_words(shape)}", "put it in quotes")
        elif wrong := meta.form(value) if meta.form else None:
            self._add(path, f"{path}: {wrong[0]}", wrong[1])

    def _expression(self, value: str, path: str) -> None:
        # hydrate checks the CEL between the braces.
        try:
            parts(value)
        except CelError as error:
            self._add(path, f"{path}: {error}", "close it with `}`")

    def _quantity(self, value: Scalar, shape: Shape, path: str, meta: Described) -> None:
        if isinstance(value, bool) or value is None:
            self._add(path, f"{path} is {shown(value)}; expected {in_words(shape)}", None)
            return
        try:
            number = PARSERS[shape.inner](value)
        except QuantityError as error:
            self._add(path, f"{path} is {error.says}", error.hint)
            return
        self._bounds(number, path, meta, unit=shape.inner)

    def _bounds(self, value: Scalar, path: str, meta: Described, *, unit: str = "") -> None:
        show = FORMATTERS.get(unit, _number)
        least, most = meta.minimum, meta.maximum
        if isinstance(value, str):
            if wrong := meta.form(value) if meta.form else None:
                self._add(path, f"{path}: {wrong[0]}", wrong[1])
            if meta.pattern and not re.fullmatch(meta.pattern, value):
                self._add(path, f"{path} is {shown(value)}", f"expected {meta.pattern_says or meta.pattern}")
        elif isinstance(value, int | float):
            if least is not None and value < least:
                self._add(path, f"{path} is {show(value)}, less than {show(least)}", f"use {show(least)} or more")
            if most is not None and value > most:
                self._add(path, f"{path} is {show(value)}, more than {show(most)}", f"use {show(most)} or less")

    def _add(self, path: str, says: str, hint: str | None) -> None:
        self.flaws.append(Flaw(position=self.value_at(path), says=says, hint=hint))


def build(tree: ReadObject, cls: type[_T]) -> _T:
    """Return an instance of `cls` with defaults filled in and units converted, from a tree that passed `check`.

    >>> @dataclasses.dataclass(frozen=True, kw_only=True)
    ... class Box:
    ...     size: Bytes = described("How large.")
    ...     open_for: Seconds = described("How long.", default=60.0)
    >>> build({"size": "2Ki"}, Box)
    Box(size=2048, open_for=60.0)
    """
    values = {
        declared.attribute: _converted(tree[name], declared.shape)
        for name, declared in fields_of(cls).items()
        if name in tree
    }
    make: Callable[..., _T] = cls
    return make(**values)


def _converted(value: ReadJson, shape: Shape) -> object:
    if value is None or shape.of in _UNCHANGED:
        return value
    if isinstance(value, _MAPPINGS):
        if shape.of == "object":
            return build(value, shape.inner)
        return {key: _converted(each, shape.inner) for key, each in value.items()}
    if isinstance(value, _SCALARS):
        return PARSERS[shape.inner](value) if shape.of == "quantity" else float(value)
    return tuple(_converted(each, shape.inner) for each in value)


def shown(value: object) -> str:
    """Return a value for a message: shortened, and described by its type if it is a mapping, a list or empty."""
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list):
        return "a list"
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false"}.get(value, "empty") if value is not None else "empty"
    if isinstance(value, str):
        return f'"{value if len(value) <= 60 else value[:57] + "..."}"'  # noqa: PLR2004
    return f"{value}"


def _has_type(value: Scalar, shape: Shape) -> bool:
    if isinstance(value, bool):
        return shape.of == "boolean"
    if shape.of == "integer":
        return isinstance(value, int)
    if shape.of == "number":
        return isinstance(value, int | float)
    return isinstance(value, str) and shape.of == "string"


def _type_hint(value: Scalar, shape: Shape) -> str | None:
    if isinstance(value, str) and shape.of in ("integer", "number") and re.fullmatch(r"-?\d+(\.\d+)?", value):
        return f"remove the quotes: {value}"
    if (
        isinstance(value, str)
        and shape.of == "boolean"
        and value.lower() in ("yes", "on", "y", "no", "off", "n", "true", "false")
    ):
        return "write " + ("true" if value.lower() in ("yes", "on", "y", "true") else "false")
    if shape.of == "string":
        return f'put it in quotes: "{str(value).lower() if isinstance(value, bool) else value}"'
    return None


def _number(value: float) -> str:
    """Return a number for a message, without its digits if it is too long for a line."""
    return str(value).removesuffix(".0") if abs(value) < 10**18 else "beyond 18 digits"


def _fields_hint(cls: type) -> str:
    return f"it has the fields {listed(fields_of(cls))}"
