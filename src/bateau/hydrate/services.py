"""Turn what was written into services with every field filled in.

Called by control.path, after specs and before place. Defaults come from the one schema in domain.spec.

Invariant: no I/O, no clock; the same specs give the same release.
"""

from collections.abc import Iterable, Mapping
from typing import Any, cast

from bateau.domain.problem import Problem
from bateau.domain.release import Release, Service
from bateau.domain.spec import KINDS, Spec
from bateau.hydrate.expressions import expand
from bateau.kit.cel import CelError
from bateau.kit.position import child, item, nearest
from bateau.kit.schema import Checker, build


def hydrate(specs: Iterable[Spec]) -> tuple[Release, tuple[Problem, ...]]:
    """Return the release, and a problem for every expression that fails or gives a value of the wrong type."""
    services: list[Service] = []
    problems: list[Problem] = []
    for spec in specs:
        if spec.kind not in ("Model", "App"):
            continue
        wrong: list[Problem] = []
        tree = _expanded(spec.tree.get("spec") or {}, "spec", spec, _names(spec), wrong)
        wrong = wrong or _wrong_values(tree, spec)
        if wrong:
            problems += wrong
            continue
        labels: dict[str, str] = spec.tree["metadata"].get("labels") or {}
        services.append(
            Service(
                kind=spec.kind,
                name=spec.name,
                labels=labels,
                spec=build(tree, KINDS[spec.kind]),
                position=spec.position,
                positions=spec.positions,
            )
        )
    services.sort(key=lambda service: service.key)
    return Release(services=tuple(services)), tuple(problems)


def _wrong_values(tree: Any, spec: Spec) -> list[Problem]:
    """Check once more what expressions have put in place of themselves."""
    checker = Checker(
        value_at=lambda path: nearest(spec.positions, path, spec.position),
        key_at=lambda _: spec.position,
        expressions=False,
    )
    checker.check(tree, KINDS[spec.kind], "spec")
    return [Problem(where=flaw.position, says=flaw.says, hint=flaw.hint) for flaw in checker.flaws if not flaw.warning]


def _names(spec: Spec) -> Mapping[str, Any]:
    """What an expression sees. Ports are words that the engine replaces when it hands out their numbers."""
    written: dict[str, Any] = spec.tree.get("spec") or {}
    names: dict[str, Any] = written.get("ports") or {}
    ports = {name: f"{{port:{name}}}" for name in names}
    return {"metadata": spec.tree["metadata"], "spec": written, "ports": ports}


def _expanded(value: Any, path: str, spec: Spec, names: Mapping[str, Any], problems: list[Problem]) -> Any:
    if isinstance(value, Mapping):
        mapping = cast("Mapping[str, Any]", value)
        return {key: _expanded(v, child(path, key), spec, names, problems) for key, v in mapping.items()}
    if isinstance(value, list):
        items = cast("list[Any]", value)
        return [_expanded(v, item(path, index), spec, names, problems) for index, v in enumerate(items)]
    if not isinstance(value, str) or "${" not in value:
        return value
    try:
        return expand(value, names)
    except CelError as error:
        hint = f"an expression sees: {', '.join(sorted(names))}"
        problems.append(Problem(where=spec.positions.get(path, spec.position), says=f"{path}: {error}", hint=hint))
        return value
