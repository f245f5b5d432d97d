"""Check a document again after patches and expressions have changed it.

Called by hydrate.services. It runs last, before the service is built.
"""

from collections.abc import Callable, Collection, Mapping

from bateau.domain.origin import Origins
from bateau.domain.problem import Problem
from bateau.domain.spec import Metadata, Remade, Spec
from bateau.hydrate.environments import body_of
from bateau.kit.json_value import ReadObject, object_at
from bateau.kit.position import Position, nearest
from bateau.kit.schema import Checker


def wrong_values(
    metadata: ReadObject,
    body: ReadObject,
    spec: Spec,
    positions: Mapping[str, Position],
    origins: Origins,
    *,
    unread: bool,
) -> list[Problem]:
    """Check the values that patches and expressions have set. `unread`: some expressions are not evaluated yet."""

    def place(path: str) -> Position:
        # An expression that only reads a value is not at fault: the error is in the place of the value.
        chain = origins.get(path, ())
        read = chain[-1] if chain and chain[-1].how == "value" else None
        if read and read.at and chain[-2].value == read.value:
            return read.at
        return nearest(positions, path, spec.position)

    checker = Checker(value_at=place, key_at=place, expressions=unread)
    if metadata is not spec.tree["metadata"]:
        named = {key: value for key, value in metadata.items() if value is not None}
        checker.check({**named, "name": spec.name}, Metadata, "metadata", known=object_at(spec.tree, "metadata"))
    checker.check(body, spec.definition.schema, "spec", known=body_of(spec))
    return [Problem(where=flaw.position, says=flaw.says, hint=flaw.hint) for flaw in checker.flaws if not flaw.warning]


def wrong_references(
    body: ReadObject,
    spec: Spec,
    positions: Mapping[str, Position],
    *,
    origins: Origins,
    there: Callable[[], Collection[str]],
) -> list[Problem]:
    """Check the references that patches and expressions have set; specs has checked the others."""
    if body is body_of(spec):
        return []

    def made(path: str) -> bool:
        return any(step.how in ("patch", "expression") for step in origins.get(path, ()))

    return list(spec.definition.rechecks(Remade(spec, body, positions, made, there)))
