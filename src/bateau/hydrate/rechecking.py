"""Look once more at a document: what patches and expressions have made of it was not there when it was read.

Called by hydrate.services, last before the service is built.
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, Final, cast

from bateau.domain.origin import Origins
from bateau.domain.problem import Problem
from bateau.domain.spec import KINDS, Metadata, Spec
from bateau.hydrate.environments import body_of
from bateau.kit.position import Position, item, nearest
from bateau.kit.schema import Checker
from bateau.kit.suggest import listed

_WAYS_TO_RUN: Final = ("command", "image", "wasm", "vm", "manifests", "kustomization", "chart")


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
    checker.check(body, KINDS[spec.kind], "spec", known=body_of(spec))
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

    def wrong(path: str, says: str, names: Iterable[str]) -> Problem:
        hint = f"there is: {listed(sorted(names)) or 'nothing'}"
        return Problem(where=nearest(positions, path, spec.position), says=says, hint=hint)

    def made(path: str) -> bool:
        return any(step.how in ("patch", "expression") for step in origins.get(path, ()))

    found: list[Problem] = []
    if spec.kind != "App" or body is body_of(spec):
        return found
    ports: Any = body.get("ports") or {}
    health: Any = body.get("health") or {}
    port = health.get("port") if isinstance(health, dict) else None  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
    if isinstance(port, str) and made("spec.health.port") and port not in ports:
        found.append(wrong("spec.health.port", f"health.port is `{port}`, but there is no such port", ports))
    for index, used in enumerate(cast("list[Any]", body.get("uses") or [])):
        path = item("spec.uses", index)
        if made(path) and used not in there():
            found.append(wrong(path, f"uses `{used}`, but there is no such service", there()))
    ran, runs = (any(each.get(way) is not None for way in _WAYS_TO_RUN) for each in (body_of(spec), body))
    if ran and not runs:
        found.append(wrong("spec", "nothing is left for the app to run", _WAYS_TO_RUN))
    return found
