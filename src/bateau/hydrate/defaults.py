"""Add the defaults of the schema to a document.

Called by hydrate.services. It runs last.

Invariant: filling a filled tree changes nothing. Held by
tests/hydrate/test_environments.py::test_hydrating_what_was_hydrated_changes_nothing.
"""

import functools

from bateau.domain.origin import Origin
from bateau.kit.json_value import ReadJson, ReadObject, object_at
from bateau.kit.position import child
from bateau.kit.schema_docs import written
from bateau.kit.schema_field import Shape, fields_of


def filled(tree: ReadObject, cls: type, origins: dict[str, tuple[Origin, ...]], path: str = "spec") -> ReadObject:
    """Return `tree` with its defaults in written form ("5s", not 5.0), and add their origins to `origins`."""
    found: dict[str, ReadJson] = {}
    for name, shape, default in _fields(cls):
        at = child(path, name)
        if shape.of == "object" and not shape.nullable:
            found[name] = filled(object_at(tree, name), shape.inner, origins, at)
        elif name not in tree:
            if default is not None:
                found[name] = default.value
                origins.setdefault(at, (default,))
        elif tree[name] is None:
            continue
        elif shape.of == "object":
            found[name] = filled(object_at(tree, name), shape.inner, origins, at)
        elif shape.of == "map" and shape.inner.of == "object":
            inner = shape.inner.inner
            entries = object_at(tree, name)
            found[name] = {
                key: filled(object_at(value), inner, origins, child(at, key)) for key, value in entries.items()
            }
        else:
            found[name] = tree[name]
    return found


@functools.cache
def _fields(cls: type) -> tuple[tuple[str, Shape, Origin | None], ...]:
    """Return name, shape and default of every field. Defaults do not depend on the document, so they are made once."""
    return tuple(
        (name, declared.shape, _default(declared.default, written(declared.default, declared.shape)))
        for name, declared in fields_of(cls).items()
    )


def _default(value: object, text: str | None) -> Origin | None:
    """Return the default as it is written: numbers and booleans plain, quantities as text; None if it is empty."""
    if text is None:
        return None
    plain = value if isinstance(value, int | float | str) and str(value).lower() == text.lower() else text
    return Origin("default", None, plain)
