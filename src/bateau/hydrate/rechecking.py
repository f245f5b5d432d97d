"""Look once more at a document: what patches and expressions have made of it was not there when it was read.

Called by hydrate.services. It runs last, before the service is built.
"""

from collections.abc import Callable, Collection, Mapping
from typing import Any

from bateau.domain.origin import Origins
from bateau.domain.problem import Problem
from bateau.domain.spec import Metadata, Remade, Spec
from bateau.hydrate.environments import body_of
from bateau.kit.position import Position, nearest
from bateau.kit.schema import Checker


def wrong_values(
    metadata: Any, body: Any, spec: Spec, positions: Mapping[str, Any], origins: Origins, *, unread: bool
) -> list[Problem]:
    """Check once more what expressions and patches have put in place. `unread`: an expression may still stand there."""

    def place(path: str) -> Position:
        # Where a value was merely read, it is wrong where it is written.
        chain = origins.get(path, ())
        read = chain[-1] if chain and chain[-1].how == "value" else None
        if read and read.at and chain[-2].value == read.value:
            return read.at
        return nearest(positions, path, spec.position)

    checker = Checker(value_at=place, key_at=place, expressions=unread)
    if metadata is not spec.tree["metadata"]:
        named = {key: value for key, value in metadata.items() if value is not None}
        checker.check({**named, "name": spec.name}, Metadata, "metadata", known=spec.tree["metadata"])
    checker.check(body, spec.definition.schema, "spec", known=body_of(spec))
    return [Problem(where=flaw.position, says=flaw.says, hint=flaw.hint) for flaw in checker.flaws if not flaw.warning]


def wrong_references(
    body: Any,
    spec: Spec,
    positions: Mapping[str, Any],
    *,
    origins: Origins,
    there: Callable[[], Collection[str]],
) -> list[Problem]:
    """Check references that expressions and patches have put in place; what is written was checked when it was read."""
    if body is body_of(spec):
        return []

    def made(path: str) -> bool:
        return any(step.how in ("patch", "expression") for step in origins.get(path, ()))

    return list(spec.definition.rechecks(Remade(spec, body, positions, made, there)))
