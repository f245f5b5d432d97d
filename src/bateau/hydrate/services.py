"""Turn what was written into services with every field filled in, for one environment.

Called by control. It runs after specs and before place, render and policy. Defaults come from the schema in
domain.spec.

Invariant: no I/O, no clock; the same specs give the same release, whatever the order of files.
Invariant: every leaf of a service's tree has the chain that made it.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, cast

from bateau.domain.origin import Origin
from bateau.domain.problem import Problem
from bateau.domain.release import Release
from bateau.domain.spec import Hydrated, Spec
from bateau.domain.workload import Workload
from bateau.hydrate.defaults import filled
from bateau.hydrate.environments import Context, Exclusion, context
from bateau.hydrate.evaluation import Evaluation
from bateau.hydrate.patches import Patch, applicable, of_spec, patches_of, speaks_of_manifests, unmatched
from bateau.hydrate.patching import PatchedDocument
from bateau.hydrate.rechecking import wrong_references, wrong_values
from bateau.kit.concealed import without
from bateau.kit.position import item, nearest
from bateau.kit.schema import build


def hydrate(
    specs: Iterable[Spec],
    environment: str | None = None,
    variables: Mapping[str, str] | None = None,
    *,
    whole: bool = True,
    namespace: str | None = None,
) -> tuple[Release, tuple[Problem, ...]]:
    """Return the release of an environment, and every mistake that shows only now.

    Those are expressions that fail or give a value of the wrong type, patches that match nothing, contradict each
    other or lead nowhere. `variables` are what `env()` may find; only names that the environment declares are seen.
    Where the specs are not `whole`, nothing is said of patches that match none of them. `namespace` takes the place of
    the one that the environment names.
    """
    return Hydration(specs, environment, variables, namespace=namespace).release(whole=whole)


@dataclass(frozen=True, slots=True, kw_only=True)
class HydratedService:
    """One document for one environment. `matched` are the numbers of the patches that speak of it.

    `exclusion` is what leaves it out of the environment.
    """

    service: Workload | None
    exclusion: Exclusion | None = None
    problems: tuple[Problem, ...] = ()
    matched: frozenset[int] = frozenset()


class Hydration:
    """One environment, ready to hydrate documents one by one; each is hydrated without a look at the others.

    `problems` are mistakes in the environment itself: what would be hydrated for it would only repeat them, so that
    nothing is.
    """

    def __init__(
        self,
        specs: Iterable[Spec],
        environment: str | None,
        variables: Mapping[str, str] | None = None,
        *,
        namespace: str | None = None,
    ) -> None:
        self._specs = list(specs)
        self._name = environment
        environments = {spec.name: spec for spec in self._specs if spec.kind == "Environment"}
        self._context, problems = context(environment, environments, variables or {}, namespace)
        self.problems = tuple(problems)
        self._patches = [patch for patch in patches_of(self._context) if not speaks_of_manifests(patch)]
        self._numbers = {id(patch): number for number, patch in enumerate(self._patches)}

    @cached_property
    def _there(self) -> frozenset[str]:
        """The keys of all services that are written; seldom needed."""
        return frozenset(spec.key for spec in self._specs if spec.is_service)

    @property
    def environment(self) -> Mapping[str, Any] | None:
        """What expressions and policies see of the environment; None where there is none."""
        return self._context.seen if self._context.name else None

    @property
    def read(self) -> frozenset[str]:
        """The values of the variables that the environment declares: nothing that is said shows them."""
        return self._context.read

    @property
    def variables(self) -> Mapping[str, str]:
        """The variables that the environment declares, with their values."""
        return self._context.variables

    @property
    def namespace(self) -> str | None:
        """The namespace of services whose documents name none; None where nothing names one."""
        return str(self._context.namespace.value) if self._context.namespace else None

    def release(self, *, whole: bool) -> tuple[Release, tuple[Problem, ...]]:
        """Return the services of all documents, and every mistake; see `hydrate`."""
        made = [self.service(spec) for spec in self._specs if spec.is_service]
        matched = frozenset[int]().union(*(each.matched for each in made))
        problems = [*self.problems, *(problem for each in made for problem in each.problems)]
        services = sorted((each.service for each in made if each.service), key=lambda service: service.key)
        release = Release(environment=self._name, services=tuple(services))
        return release, (*problems, *(self.unmatched(matched) if whole else ()))

    def service(self, spec: Spec) -> HydratedService:
        """Return the service of a document, or what is wrong with it in this environment."""
        if self.problems:
            return HydratedService(service=None)
        wrong: list[Problem] = []
        chosen, matched = applicable(self._patches, of_spec(spec, self._context), wrong)
        if exclusion := self._context.exclusion(spec.key):
            numbers = frozenset(self._numbers[id(patch)] for patch in matched)
            return HydratedService(service=None, matched=numbers, exclusion=exclusion)
        service = _service(spec, self._context, chosen, wrong, lambda: self._there)
        return HydratedService(
            service=service,
            problems=tuple(_in(self._context, problem) for problem in wrong),
            matched=frozenset(self._numbers[id(patch)] for patch in matched),
        )

    def unmatched(self, matched: Collection[int]) -> list[Problem]:
        """Return what is said of patches that no document has matched."""
        if self.problems:
            return []  # no document was looked at
        unused = (patch for number, patch in enumerate(self._patches) if number not in matched)
        return unmatched(unused, "document", [key.partition("/")[2] for key in self._there])


def _service(
    spec: Spec, found: Context, chosen: Sequence[Patch], wrong: list[Problem], there: Callable[[], Collection[str]]
) -> Workload | None:
    document = PatchedDocument.of(spec)
    document.apply(chosen, wrong)
    origins, positions = document.origins, document.positions
    tree = _in_namespace(document.tree, found, origins)
    evaluation = Evaluation(spec, found, origins, positions)
    metadata, body = evaluation.expanded(tree["metadata"], tree["spec"], wrong)
    wrong += wrong_values(metadata, body, spec, positions, origins, unread=bool(wrong))
    if not wrong:  # references are looked for where the types are right
        wrong += wrong_references(body, spec, positions, origins=origins, there=there)
    make = spec.definition.to_workload
    if wrong or make is None:
        return None
    schema = spec.definition.schema
    tree = {"apiVersion": spec.tree.get("apiVersion"), "kind": spec.kind, "metadata": metadata}
    tree["spec"] = filled(body, schema, origins)
    made = make(
        Hydrated(
            key=spec.key,
            fields=build(body, schema),
            labels=cast("dict[str, str]", metadata.get("labels") or {}),
            annotations=cast("dict[str, str]", metadata.get("annotations") or {}),
            position=spec.position,
            positions=positions,
            tree=tree,
            origins=origins,
        )
    )
    if excluded := _uses_of_excluded(made, found):
        wrong += excluded
        return None
    return replace(made, namespace=metadata.get("namespace"), withheld=evaluation.withheld(tree))


def _in_namespace(tree: Any, found: Context, origins: dict[str, tuple[Origin, ...]]) -> Any:
    """Put in the namespace of the environment where the document names none."""
    if found.namespace is None or tree["metadata"].get("namespace") is not None:
        return tree
    origins["metadata.namespace"] = (found.namespace,)
    return {**tree, "metadata": {**tree["metadata"], "namespace": found.namespace.value}}


def _uses_of_excluded(service: Workload, found: Context) -> list[Problem]:
    """Find what a service uses and the environment leaves out."""
    problems: list[Problem] = []
    for index, used in enumerate(service.uses if found.exclusions else ()):
        if exclusion := found.exclusion(used):
            where = nearest(service.positions, item("spec.uses", index), service.position)
            says = f"uses `{used}`, which environment {exclusion.environment} leaves out (`{exclusion.pattern}`)"
            hint = f"change spec.exclude at {exclusion.at}, or patch spec.uses of {service.key}"
            problems.append(Problem(where=where, says=says, hint=hint))
    return problems


def _in(found: Context, problem: Problem) -> Problem:
    """Return a problem that names the environment in which it occurs, and nothing that `env()` has read there."""
    says, hint = without(problem.says, found.read), without(problem.hint or "", found.read)
    environments = (found.name,) if found.name else ()
    return replace(problem, says=says, hint=hint or None, environments=environments)
