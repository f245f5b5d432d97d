"""Turn what was written into services with every field filled in, for one environment.

Called by control.path, after specs and before place, render and policy. Defaults come from the schema in domain.spec.

Invariant: no I/O, no clock; the same specs give the same release, whatever the order of files.
Invariant: every leaf of a service's tree has the chain that made it.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final, cast

from bateau.domain.origin import Origin, Origins
from bateau.domain.problem import Problem
from bateau.domain.release import Release, Service
from bateau.domain.spec import KINDS, Metadata, Spec
from bateau.hydrate.defaults import filled
from bateau.hydrate.environments import Context, below, body_of, context, environment_seen, missing_value, values_read
from bateau.hydrate.expressions import expand, names_hint, names_in
from bateau.hydrate.patches import Patch, applicable, names_for, of_spec, patches_of, speaks_of_manifests, unmatched
from bateau.hydrate.paths import PathError, set_at
from bateau.kit.cel import CelError
from bateau.kit.concealed import without
from bateau.kit.position import Position, child, item, leaves, nearest
from bateau.kit.schema import Checker, build
from bateau.kit.suggest import did_you_mean, listed

_WAYS_TO_RUN: Final = ("command", "image", "wasm", "vm", "manifests", "kustomization", "chart")
_OF_PORTS: Final = ("spec.command[", "spec.env.", "spec.env[", "metadata.annotations")
_NO_PORTS: Final = "ports have numbers in spec.command, spec.env and metadata.annotations only"
_CIRCLE: Final = "it reads a field whose value follows from this one"

SERVICES: Final = ("Model", "App")


def hydrate(
    specs: Iterable[Spec],
    environment: str | None = None,
    variables: Mapping[str, str] | None = None,
    *,
    whole: bool = True,
) -> tuple[Release, tuple[Problem, ...]]:
    """Return the release of an environment, and every mistake that shows only now.

    Those are expressions that fail or give a value of the wrong type, patches that match nothing, contradict each
    other or lead nowhere. `variables` are what `env()` may find; only names that the environment declares are seen.
    Where the specs are not `whole`, nothing is said of patches that match none of them.
    """
    every = list(specs)
    hydration = Hydration(every, environment, variables)
    made = [hydration.service(spec) for spec in every if spec.kind in SERVICES]
    matched = frozenset[int]().union(*(each.matched for each in made))
    problems = [*hydration.problems, *(problem for each in made for problem in each.problems)]
    services = sorted((each.service for each in made if each.service), key=lambda service: service.key)
    release = Release(environment=environment, services=tuple(services))
    return release, (*problems, *(hydration.unmatched(matched) if whole else ()))


@dataclass(frozen=True, slots=True, kw_only=True)
class Hydrated:
    """One document for one environment. `matched` are the numbers of the patches that speak of it."""

    service: Service | None
    problems: tuple[Problem, ...] = ()
    matched: frozenset[int] = frozenset()


class Hydration:
    """One environment, ready to hydrate documents one by one; each is hydrated without a look at the others.

    `problems` are mistakes in the environment itself: what would be hydrated for it would only repeat them, so that
    nothing is.
    """

    def __init__(
        self, specs: Iterable[Spec], environment: str | None, variables: Mapping[str, str] | None = None
    ) -> None:
        self._specs = list(specs)
        environments = {spec.name: spec for spec in self._specs if spec.kind == "Environment"}
        self._context, problems = context(environment, environments, variables or {})
        self.problems = tuple(problems)
        self._patches = [patch for patch in patches_of(self._context) if not speaks_of_manifests(patch)]
        self._numbers = {id(patch): number for number, patch in enumerate(self._patches)}

    @cached_property
    def _there(self) -> frozenset[str]:
        """The keys of all services that are written; seldom needed."""
        return frozenset(f"{spec.kind.lower()}/{spec.name}" for spec in self._specs if spec.kind in SERVICES)

    @property
    def environment(self) -> Mapping[str, Any] | None:
        """What expressions and policies see of the environment; None where there is none."""
        return environment_seen(self._context) if self._context.name else None

    @property
    def read(self) -> frozenset[str]:
        """The values of the variables that the environment declares: nothing that is said shows them."""
        return frozenset(self._context.variables.values())

    @property
    def variables(self) -> Mapping[str, str]:
        """The variables that the environment declares, with their values."""
        return self._context.variables

    def service(self, spec: Spec) -> Hydrated:
        """Return the service of a document, or what is wrong with it in this environment."""
        if self.problems:
            return Hydrated(service=None)
        wrong: list[Problem] = []
        chosen, matched = applicable(self._patches, of_spec(spec, self._context), wrong)
        service = _service(spec, self._context, chosen, wrong, lambda: self._there)
        return Hydrated(
            service=service,
            problems=tuple(_in(self._context, problem) for problem in wrong),
            matched=frozenset(self._numbers[id(patch)] for patch in matched),
        )

    def unmatched(self, matched: Collection[int]) -> list[Problem]:
        """Return what is said of patches that no document has matched."""
        if self.problems:
            return []  # no document was looked at
        unused = (patch for number, patch in enumerate(self._patches) if number not in matched)
        return unmatched(unused, "document")


def _service(
    spec: Spec, found: Context, chosen: Sequence[Patch], wrong: list[Problem], there: Callable[[], Collection[str]]
) -> Service | None:
    origins = _written_origins(spec)
    tree: Any = {"metadata": spec.tree["metadata"], "spec": spec.tree.get("spec") or {}}
    patched: dict[str, Patch] = {}
    for patch in chosen:
        tree = _patched(tree, patch, origins, patched, wrong)
    positions = {**spec.positions, **{path: patch.at for path, patch in patched.items()}}
    names = _Names(spec, found, origins, positions)
    metadata, body = names.expanded(tree["metadata"], tree["spec"], wrong)
    wrong += _wrong_values(metadata, body, spec, positions, origins, unread=bool(wrong))
    wrong += _wrong_references(body, spec, positions, made=lambda path: _is_made(origins.get(path, ())), there=there)
    if wrong:
        return None
    whole = {"apiVersion": spec.tree.get("apiVersion"), "kind": spec.kind, "metadata": metadata}
    return Service(
        kind=cast("Any", spec.kind),
        name=spec.name,
        labels=cast("dict[str, str]", metadata.get("labels") or {}),
        spec=build(body, KINDS[spec.kind]),
        position=spec.position,
        positions=positions,
        tree={**whole, "spec": filled(body, KINDS[spec.kind], origins)},
        origins=origins,
    )


def _written_origins(spec: Spec) -> dict[str, tuple[Origin, ...]]:
    return {
        path: (Origin("written", spec.positions.get(path, spec.position), value),)
        for part in ("metadata", "spec")
        for path, value in leaves(spec.tree.get(part) or {}, part)
    }


def _patched(
    tree: Any, patch: Patch, origins: dict[str, tuple[Origin, ...]], patched: dict[str, Patch], wrong: list[Problem]
) -> Any:
    if not (patch.steps[0] == "spec" and len(patch.steps) > 1) and not (
        patch.steps[:2] in (("metadata", "labels"), ("metadata", "annotations")) and len(patch.steps) > 2  # noqa: PLR2004
    ):
        hint = "a path begins with `spec.`, `metadata.labels.` or `metadata.annotations.`"
        wrong.append(Problem(where=patch.at, says=f"the path `{patch.path}` cannot be set", hint=hint))
        return tree
    try:
        changed, path = set_at(tree, patch.path, patch.value)
    except PathError as error:
        wrong.append(Problem(where=patch.at, says=f"the patch cannot be applied: {error}"))
        return tree
    before = origins.get(path, ())
    for key in [key for key in origins if below(key, path)]:
        del origins[key]
    patched[path] = patch

    found = list(leaves(patch.value, path))
    if [at for at, _ in found] != [path]:
        origins.pop(path, None)
    for at, value in found:
        step = Origin("patch", patch.at, value, f"patch of {patch.environment}")
        origins[at] = (*(before if at == path else ()), step)
        patched[at] = patch
    return changed


class _Names:
    """What expressions of one document see, and what they read of it.

    They see the document after its patches. One that reads the document waits until what it reads has its value.
    """

    def __init__(
        self, spec: Spec, found: Context, origins: dict[str, tuple[Origin, ...]], positions: Mapping[str, Any]
    ) -> None:
        self._names: dict[str, Any] = {}
        self._found = found
        self._origins = origins
        self._positions = positions
        self._spec = spec
        self._waiting: dict[str, str] = {}  # texts by path

    def expanded(self, metadata: Any, body: Any, wrong: list[Problem]) -> tuple[Any, Any]:
        """Return both with their expressions evaluated, and note what each of them read."""
        self._see(metadata, body)
        metadata, body = (
            _changed(part, path, lambda at, text: self._at_once(at, text, wrong))
            for path, part in (("metadata", metadata), ("spec", body))
        )
        while self._waiting:
            self._see(metadata, body)
            failed: dict[str, CelError] = {}
            made = {path: value for path, text in self._waiting.items() if (value := self._now(path, text, failed))}
            if not made:
                for path, text in self._waiting.items():
                    self._tell(path, text, failed.get(path) or CelError(_CIRCLE), wrong)
                break
            for path in made:
                del self._waiting[path]
            metadata, body = (_put(part, path, made) for path, part in (("metadata", metadata), ("spec", body)))
        return metadata, body

    def _see(self, metadata: Any, body: Any) -> None:
        # Ports are words that the engine replaces when it hands out their numbers.
        ports = body.get("ports") if isinstance(body, dict) else None  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
        words = {name: f"{{port:{name}}}" for name in cast("dict[str, Any]", ports if isinstance(ports, dict) else {})}
        self._names = {**names_for(self._spec, self._found), "metadata": metadata, "spec": body, "ports": words}

    def _at_once(self, path: str, text: str, wrong: list[Problem]) -> Any:
        """Return the value of a text, or the text where its expressions have to wait, or fail."""
        if ("spec" in text or "metadata" in text) and names_in(text) & {"spec", "metadata"}:
            self._waiting[path] = text
            return text
        if "ports" in text and not path.startswith(_OF_PORTS) and "ports" in names_in(text):
            self._tell(path, text, CelError(_NO_PORTS), wrong)
            return text
        try:
            result = expand(text, self._names, variables=self._found.variables)
        except CelError as error:
            self._tell(path, text, error, wrong)
            return text
        self._note(path, text, result)
        return result

    def _now(self, path: str, text: str, failed: dict[str, CelError]) -> tuple[Any] | None:
        """Return the value of a text that waits; None where what it reads waits as well, or it fails."""
        try:
            result = expand(text, self._names, variables=self._found.variables)
        except CelError as error:
            failed[path] = error
            return None
        read = [each for _, each in leaves(result) if isinstance(each, str) and "${" in each]
        if any(raw in each for each in read for raw in self._waiting.values()):
            return None
        self._note(path, text, result)
        return (result,)

    def _tell(self, path: str, text: str, error: CelError, wrong: list[Problem]) -> None:
        says, hint = self._explained(text, error)
        where = nearest(self._positions, path, self._spec.position)
        wrong.append(Problem(where=where, says=f"{path}: {says}", hint=hint))

    def _explained(self, text: str, error: CelError) -> tuple[str, str | None]:
        """Say why an expression fails; a value that is missing is what it mostly is."""
        if self._found.name is None and self._found.others and "values" in names_in(text):
            hint = f"choose one with --env: {listed(self._found.others)}"
            return "it reads values, and no environment was chosen", hint
        if "not found in map" in str(error) and (missing := missing_value(text, self._found)):
            around, key, there = missing
            return f"{around} has no `{key}`", did_you_mean(key, there) or f"there is: {listed(there) or 'nothing'}"
        return str(error), names_hint(error, self._names)

    def _note(self, path: str, text: str, result: Any) -> None:
        chain = self._origins.get(path, ())
        last = chain[-1] if chain else None
        read = values_read(text, self._found)
        self._origins.pop(path, None)
        for leaf, value in leaves(result, path):
            made = Origin("expression", last.at if last else None, value, text.strip())
            self._origins[leaf] = (*chain[:-1], made, *read)


def _changed(value: Any, path: str, change: Callable[[str, str], Any]) -> Any:
    """Return the value with every text that holds an expression changed.

    What holds none is returned as it is, and not copied.
    """
    if isinstance(value, dict):
        mapping = cast("dict[str, Any]", value)
        made = {key: _changed(each, child(path, key), change) for key, each in mapping.items()}
        return mapping if all(made[key] is mapping[key] for key in mapping) else made
    if isinstance(value, list):
        items = cast("list[Any]", value)
        listed = [_changed(each, item(path, index), change) for index, each in enumerate(items)]
        return items if all(new is old for new, old in zip(listed, items, strict=True)) else listed
    return change(path, value) if isinstance(value, str) and "${" in value else value


def _put(value: Any, path: str, made: Mapping[str, tuple[Any]]) -> Any:
    """Return the value with what was made at the paths in it."""

    def put(at: str, text: str) -> Any:
        return made[at][0] if at in made else text

    return _changed(value, path, put)


def _wrong_values(
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


def _is_made(chain: Sequence[Origin]) -> bool:
    """Whether a value is not what the document itself says."""
    return any(step.how in ("patch", "expression") for step in chain)


def _wrong_references(
    body: Any,
    spec: Spec,
    positions: Mapping[str, Any],
    *,
    made: Callable[[str], bool],
    there: Callable[[], Collection[str]],
) -> list[Problem]:
    """Check references that expressions and patches have put in place; what is written was checked when it was read."""

    def wrong(path: str, says: str, names: Iterable[str]) -> Problem:
        hint = f"there is: {listed(sorted(names)) or 'nothing'}"
        return Problem(where=nearest(positions, path, spec.position), says=says, hint=hint)

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


def _in(found: Context, problem: Problem) -> Problem:
    """Name the environment in which a mistake shows, and nothing that `env()` has read in it."""
    where = f"in environment {found.name}: " if found.name else ""
    read = found.variables.values()
    says, hint = without(problem.says, read), without(problem.hint or "", read)
    return Problem(where=problem.where, says=f"{where}{says}", hint=hint or None, severity=problem.severity)
