"""Put an environment together from those it builds on: values merged deep, patches in order.

Called by control.releasing and hydrate.

Invariant: the order is what `from` says and nothing else: those named first, each with its own `from` before it, then
the environment itself. Later ones win.
Refused: merging lists; whoever reads one file could not tell what the list is.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any, cast

from bateau.domain.expression import paths_read
from bateau.domain.origin import Origin
from bateau.domain.problem import Problem
from bateau.domain.spec import Spec
from bateau.kit.cel_reading import Step
from bateau.kit.position import Position, below, child, item
from bateau.kit.suggest import did_you_mean, listed


@dataclass(frozen=True, slots=True)
class Exclusion:
    """A glob of the keys of services that an environment leaves out."""

    pattern: str
    environment: str
    at: Position


@dataclass(frozen=True, kw_only=True)
class Context:
    """What services are hydrated for. `value_origins` goes by path below `values` ("chat.replicas").

    `namespace` has the namespace of services that name none, with where it is written.
    """

    name: str | None = None
    chain: tuple[Spec, ...] = ()
    values: Mapping[str, Any] = field(default_factory=dict[str, Any])
    value_origins: Mapping[str, tuple[Origin, ...]] = field(default_factory=dict[str, tuple[Origin, ...]])
    labels: Mapping[str, str] = field(default_factory=dict[str, str])
    variables: Mapping[str, str] = field(default_factory=dict[str, str])
    namespace: Origin | None = None
    exclusions: tuple[Exclusion, ...] = ()
    others: tuple[str, ...] = ()  # those that could have been chosen, where none was

    def exclusion(self, key: str) -> Exclusion | None:
        """Return what leaves a service out of the environment."""
        return next((each for each in self.exclusions if fnmatchcase(key, each.pattern)), None)

    @property
    def read(self) -> frozenset[str]:
        """The values of the variables that it declares: nothing that is said shows them."""
        return frozenset(self.variables.values())

    @property
    def seen(self) -> dict[str, Any]:
        """What expressions and policies see of it."""
        return {"name": self.name or "", "labels": dict(self.labels)}


def context(
    name: str | None, environments: Mapping[str, Spec], variables: Mapping[str, str], namespace: str | None = None
) -> tuple[Context, list[Problem]]:
    """Return the context of an environment. `variables` holds what `env()` may find; only declared names are kept.

    `namespace` takes the place of the one that the environment names.
    """
    given = Origin("rule", None, namespace, "the namespace of the command (--namespace)") if namespace else None
    if name is None:
        return Context(namespace=given, others=tuple(sorted(environments))), []
    if name not in environments:
        hint = did_you_mean(name, environments) or f"there is: {listed(sorted(environments)) or 'no Environment'}"
        return Context(name=name), [Problem(where=None, says=f"there is no Environment {name}", hint=hint)]
    problems: list[Problem] = []
    chain = _chain(environments[name], environments, (), problems)
    values: dict[str, Any] = {}
    origins: dict[str, tuple[Origin, ...]] = {}
    labels: dict[str, str] = {}
    declared: set[str] = set()
    exclusions: list[Exclusion] = []
    named: Origin | None = None
    for spec in chain:
        body = body_of(spec)
        _merge(values, cast("dict[str, Any]", body.get("values") or {}), "", spec, origins)
        labels |= cast("dict[str, str]", body.get("labels") or {})
        declared |= set(cast("list[str]", body.get("env") or []))
        if body.get("namespace"):
            at = spec.positions.get("spec.namespace", spec.position)
            named = Origin("value", at, body["namespace"], f"spec.namespace of {spec.name}")
        for index, pattern in enumerate(cast("list[str]", body.get("exclude") or [])):
            at = spec.positions.get(item("spec.exclude", index), spec.position)
            exclusions.append(Exclusion(pattern, spec.name, at))
    found = Context(
        name=name,
        chain=tuple(chain),
        values=values,
        value_origins=origins,
        labels=labels,
        variables={key: value for key, value in variables.items() if key in declared},
        namespace=given or named,
        exclusions=tuple(exclusions),
    )
    return found, problems


def values_read(text: str, found: Context) -> list[Origin]:
    """Return where the values were written that the expressions of a text read."""
    read: dict[str, Origin] = {}
    for steps in _values_steps(text):
        path = _there(steps, found)
        at = [path] if path in found.value_origins else [each for each in found.value_origins if below(each, path)]
        read |= {each: found.value_origins[each][-1] for each in at if path}
    return list(read.values())


def missing_value(text: str, found: Context) -> tuple[str, str, list[str]] | None:
    """Return the first value that an expression of the text reads and that is not there; None where all are.

    That is what has no such key, the key, and the keys that there are.
    """
    for steps in _values_steps(text):
        value: Any = found.values
        at = "values"
        for step in steps:
            if not isinstance(value, dict) or not isinstance(step, str):
                break
            fields = cast("dict[str, Any]", value)
            if step not in fields:
                return at, step, list(fields)
            value, at = fields[step], child(at, step)
    return None


def _values_steps(text: str) -> list[Sequence[Step]]:
    """Return the steps below `values` of each path that a text reads there: `values.a['b'].c`, not all of `values`."""
    return [path.steps for path in paths_read(text) if path.name == "values" and path.steps]


def _there(steps: Sequence[Step], found: Context) -> str:
    """Return the path of the value that steps lead to, as far as they lead: a list is replaced as a whole."""
    value: Any = found.values
    path = ""
    for step in steps:
        if not isinstance(value, dict) or not isinstance(step, str) or step not in value:
            break
        value = cast("dict[str, Any]", value)[step]
        path = child(path, step)
    return path


def body_of(spec: Spec) -> dict[str, Any]:
    """Return what stands below `spec:`."""
    return cast("dict[str, Any]", spec.tree.get("spec") or {})


def _chain(
    spec: Spec, environments: Mapping[str, Spec], above: tuple[str, ...], problems: list[Problem]
) -> Sequence[Spec]:
    if spec.name in above:
        circle = " -> ".join((*above[above.index(spec.name) :], spec.name))
        where = spec.positions.get("spec.from", spec.position)
        problems.append(
            Problem(
                where=where, says=f"environments build on each other in a circle: {circle}", hint="remove one `from`"
            )
        )
        return []
    chain: dict[str, Spec] = {}
    for index, name in enumerate(cast("list[str]", body_of(spec).get("from") or [])):
        base = environments.get(name)
        if base is None:
            hint = did_you_mean(name, environments) or f"there is: {listed(sorted(environments))}"
            where = spec.positions.get(f"spec.from[{index}]", spec.position)
            problems.append(
                Problem(where=where, says=f"builds on `{name}`, but there is no such Environment", hint=hint)
            )
            continue
        for each in _chain(base, environments, (*above, spec.name), problems):
            chain.setdefault(each.name, each)
    chain[spec.name] = spec
    return list(chain.values())


def _merge(
    target: dict[str, Any], source: Mapping[str, Any], path: str, spec: Spec, origins: dict[str, tuple[Origin, ...]]
) -> None:
    for key, value in source.items():
        where = child(path, key)
        if isinstance(value, dict):
            existing = target.get(key)
            if not isinstance(existing, dict):
                existing = {}
                _forget(origins, where)
            else:
                existing = dict(cast("dict[str, Any]", existing))
            target[key] = existing
            _merge(existing, cast("dict[str, Any]", value), where, spec, origins)
            continue
        if isinstance(target.get(key), dict):
            _forget(origins, where)
        target[key] = value
        at = spec.positions.get(f"spec.values.{where}", spec.position)
        says = f"values.{where} of {spec.name}"
        origins[where] = (*origins.get(where, ()), Origin("value", at, value, says))


def _forget(origins: dict[str, tuple[Origin, ...]], path: str) -> None:
    """A value of another type has taken the place of what stood below `path`."""
    for key in [key for key in origins if key == path or below(key, path)]:
        del origins[key]
