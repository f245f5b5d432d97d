"""Combine an environment with the environments that it builds on: deeply merged values, and patches in order.

Called by control.destinations, control.places, control.releasing and hydrate.

Invariant: `from` alone decides the order: first the environments that it names, each after those in its own `from`,
then the environment itself. Later ones win. Held by
tests/hydrate/test_environments.py::test_values_merge_deep_along_from_and_expressions_keep_their_type.
Refused: merging lists. A reader of one file could not know the resulting list.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from bateau.domain.expression import paths_read
from bateau.domain.origin import Origin
from bateau.domain.problem import Problem
from bateau.domain.spec import Spec
from bateau.kit.cel_reading import Step
from bateau.kit.json_value import JsonObject, ReadJson, ReadObject, named_texts_at, object_at, texts_at
from bateau.kit.position import Position, below, child, item
from bateau.kit.suggest import suggestion


@dataclass(frozen=True, slots=True)
class Exclusion:
    """A glob over service keys: the environment excludes the services that it matches."""

    pattern: str
    environment: str
    at: Position


@dataclass(frozen=True, kw_only=True)
class Context:
    """An environment that services are hydrated for. The keys of `value_origins` are paths such as "chat.replicas".

    `namespace` is the namespace of services whose documents name none, and its origin.
    """

    name: str | None = None
    chain: tuple[Spec, ...] = ()
    values: ReadObject = field(default_factory=dict[str, ReadJson])
    value_origins: Mapping[str, tuple[Origin, ...]] = field(default_factory=dict[str, tuple[Origin, ...]])
    labels: Mapping[str, str] = field(default_factory=dict[str, str])
    variables: Mapping[str, str] = field(default_factory=dict[str, str])
    namespace: Origin | None = None
    exclusions: tuple[Exclusion, ...] = ()
    clusters: tuple[str, ...] = ()
    others: tuple[str, ...] = ()  # without a name: the environments that could have been chosen

    def exclusion(self, key: str) -> Exclusion | None:
        """Return the exclusion that matches a service key, if any."""
        return next((each for each in self.exclusions if fnmatchcase(key, each.pattern)), None)

    @property
    def read(self) -> frozenset[str]:
        """The values of the variables that the environment declares. No message may contain them."""
        return frozenset(self.variables.values())

    @property
    def seen(self) -> ReadObject:
        """The variable `environment` of expressions and policies."""
        return {"name": self.name or "", "labels": dict(self.labels)}


def context(
    name: str | None, environments: Mapping[str, Spec], variables: Mapping[str, str], namespace: str | None = None
) -> tuple[Context, list[Problem]]:
    """Return the context of an environment, and the problems in it.

    `variables` are the environment variables that `env()` can read; only the declared ones are kept. `namespace`
    replaces the namespace that the environment names.
    """
    given = Origin("rule", None, namespace, "the namespace of the command (--namespace)") if namespace else None
    if name is None:
        return Context(namespace=given, others=tuple(sorted(environments))), []
    if name not in environments:
        hint = suggestion(name, sorted(environments), none="no Environment is defined")
        return Context(name=name), [Problem(where=None, says=f"there is no Environment {name}", hint=hint)]
    problems: list[Problem] = []
    chain = _chain(environments[name], environments, (), problems)
    values: dict[str, ReadJson] = {}
    origins: dict[str, tuple[Origin, ...]] = {}
    labels: dict[str, str] = {}
    declared: set[str] = set()
    exclusions: list[Exclusion] = []
    named: Origin | None = None
    clusters: tuple[str, ...] = ()
    for spec in chain:
        body = body_of(spec)
        _merge(values, object_at(body, "values"), "", spec, origins)
        labels |= named_texts_at(body, "labels")
        declared |= set(texts_at(body, "env"))
        if body.get("namespace"):
            at = spec.positions.get("spec.namespace", spec.position)
            named = Origin("value", at, body["namespace"], f"spec.namespace of {spec.name}")
        clusters = tuple(texts_at(body, "clusters")) or clusters
        for index, pattern in enumerate(texts_at(body, "exclude")):
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
        clusters=clusters,
    )
    return found, problems


def values_read(text: str, found: Context) -> list[Origin]:
    """Return the origins of the values that the expressions in a text read."""
    read: dict[str, Origin] = {}
    for steps in _values_steps(text):
        path = _there(steps, found)
        at = [path] if path in found.value_origins else [each for each in found.value_origins if below(each, path)]
        read |= {each: found.value_origins[each][-1] for each in at if path}
    return list(read.values())


def missing_value(text: str, found: Context) -> tuple[str, str, list[str]] | None:
    """Return the first value that an expression in the text reads and that does not exist; None if all exist.

    The result is (path of the mapping, missing key, existing keys).
    """
    for steps in _values_steps(text):
        value: ReadJson = found.values
        at = "values"
        for step in steps:
            if not isinstance(value, dict) or not isinstance(step, str):
                break
            if step not in value:
                return at, step, list(value)
            value, at = value[step], child(at, step)
    return None


def _values_steps(text: str) -> list[Sequence[Step]]:
    """Return the steps below `values` of each path that a text reads, such as `values.a['b'].c`."""
    return [path.steps for path in paths_read(text) if path.name == "values" and path.steps]


def _there(steps: Sequence[Step], found: Context) -> str:
    """Return the path of the deepest value that the steps reach. They end at a list, which is replaced as a whole."""
    value: ReadJson = found.values
    path = ""
    for step in steps:
        if not isinstance(value, dict) or not isinstance(step, str) or step not in value:
            break
        value = value[step]
        path = child(path, step)
    return path


def body_of(spec: Spec) -> JsonObject:
    """Return the mapping below `spec:`."""
    return object_at(spec.tree, "spec")


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
    for index, name in enumerate(texts_at(body_of(spec), "from")):
        base = environments.get(name)
        if base is None:
            hint = suggestion(name, sorted(environments), none="no Environment is defined")
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
    target: dict[str, ReadJson], source: ReadObject, path: str, spec: Spec, origins: dict[str, tuple[Origin, ...]]
) -> None:
    for key, value in source.items():
        where = child(path, key)
        if isinstance(value, dict):
            existing = target.get(key)
            merged: dict[str, ReadJson] = {}
            if isinstance(existing, dict):
                merged |= existing
            else:
                _forget(origins, where)
            target[key] = merged
            _merge(merged, value, where, spec, origins)
            continue
        if isinstance(target.get(key), dict):
            _forget(origins, where)
        target[key] = value
        at = spec.positions.get(f"spec.values.{where}", spec.position)
        says = f"values.{where} of {spec.name}"
        origins[where] = (*origins.get(where, ()), Origin("value", at, value, says))


def _forget(origins: dict[str, tuple[Origin, ...]], path: str) -> None:
    """Remove the origins at and below `path`, because a value of another type has replaced the value there."""
    for key in [key for key in origins if key == path or below(key, path)]:
        del origins[key]
