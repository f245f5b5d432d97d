"""Report unquoted scalars that kubectl and Helm read differently than Bateau.

Called by specs.reading. Specs are YAML 1.2: `0644` is 644 and `on` is text. kubectl and Helm read YAML 1.1: 420, and
true. A value without a type in the schema may be passed on to them, and a spec itself can be applied to a cluster. So
the rule is that such a value must be unambiguous.

Invariant: a scalar that passes means the same to Bateau, kubectl and Helm, or its field accepts only text. Held by
tests/kit/test_yaml_go.py::test_a_scalar_that_is_not_ambiguous_means_the_same_in_yaml_1_2.
Refused: reading such values like Helm. A value could be copied from a field with one meaning to a field with the other.
"""

import re
from collections.abc import Iterator, Sequence
from typing import Final

from bateau.kit.position import Flaw, steps
from bateau.kit.schema_field import Shape, shape_at
from bateau.kit.yaml_go import kubectl_scalar
from bateau.kit.yaml_tree import Document, plain_scalar

_OCTAL: Final = re.compile(r"\+?0+([1-7][0-7]*)").fullmatch


_INTEGER_END: Final = 2**63


def ambiguous_scalars(document: Document, schema: type) -> Iterator[Flaw]:
    """Yield an error for every ambiguous value below `spec`, and a warning for every ambiguous key.

    A key keeps its meaning in Bateau's output. It changes only if the spec itself is applied to a cluster.
    """
    for path, text in document.ambiguous.items():
        shape = _shape_of_steps(steps(path), schema)
        here, there = plain_scalar(text), kubectl_scalar(text)
        if shape is None or shape.of in ("string", "enum", "boolean"):
            continue  # a string keeps the text, and the schema rejects it as a boolean
        if shape.of != "any" and (not isinstance(here, int | float) or abs(here) >= _INTEGER_END):
            continue  # the schema rejects it
        says = f"{path} is `{text}`: {_shown(here)} in YAML 1.2, but {_shown(there)} to kubectl and Helm"
        forms = list(dict.fromkeys((_form(there, text), _form(here, text))))
        yield Flaw(position=document.positions[path], says=says, hint=f"write {' or '.join(forms)}")
    for path, text in document.ambiguous_keys.items():
        *around, _ = steps(path)
        if tuple(around[:1]) == ("metadata",) or _is_open(_shape_of_steps(around, schema)):
            says = f"the key `{text}` is text in YAML 1.2, but `{_key(text)}` to kubectl and Helm"
            yield Flaw(position=document.keys[path], says=says, hint=f'write "{text}" in quotes', warning=True)


def _shape_of_steps(at: Sequence[object], schema: type) -> Shape | None:
    """Return the shape of a path in the schema; None if the schema has no such path."""
    return shape_at(schema, at[1:]) if at[:1] in (("spec",), ["spec"]) else None


def _is_open(shape: Shape | None) -> bool:
    return shape is not None and shape.of in ("map", "any")


def _shown(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int) and abs(value) >= _INTEGER_END:
        return "a number beyond 64 bits"
    return "text" if isinstance(value, str) else f"{value}"


def _form(value: object, text: str) -> str:
    """Return a spelling of a value that all these programs read the same way."""
    if isinstance(value, str):
        return f'"{text}"'
    if isinstance(value, int) and abs(value) >= _INTEGER_END:
        return f'"{text}"'
    octal = _OCTAL(text)
    return f"0o{octal[1]}" if octal and value == int(octal[1], 8) else _shown(value)


def _key(text: str) -> str:
    return _shown(kubectl_scalar(text))
