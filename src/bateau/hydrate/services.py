"""Turn specs into the workloads of one environment, with every field filled in.

Called by control. It runs after specs and before place, render and policy. Defaults come from the schema of the kind.

Invariant: no I/O, no clock; the same specs give the same release, in any order of files. Held by
tests/hydrate/test_services.py::test_the_order_of_specs_never_matters and
tests/test_house.py::test_the_import_contracts_hold.
Invariant: every leaf of a workload's tree has its chain of origins. Held by
tests/hydrate/test_environments.py::test_every_leaf_of_a_service_has_an_origin.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

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
from bateau.kit.json_value import ReadObject, named_texts_at, object_at, text_at
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
    """Return the release of an environment, and the errors that only an environment can cause.

    Those are expressions that fail or give a value of the wrong type, and patches that match nothing, conflict with
    each other or set a path that does not exist. `variables` are the environment variables that `env()` can read, if
    the environment declares them. If `whole` is false, some specs are missing, so patches that match nothing are not
    reported. `namespace` replaces the namespace that the environment names.
    """
    return Hydration(specs, environment, variables, namespace=namespace).release(whole=whole)


@dataclass(frozen=True, slots=True, kw_only=True)
class HydratedService:
    """One document in one environment. `matched` are the numbers of the patches that match it.

    `exclusion` is set if the environment excludes it.
    """

    service: Workload | None
    exclusion: Exclusion | None = None
    problems: tuple[Problem, ...] = ()
    matched: frozenset[int] = frozenset()


class Hydration:
    """One environment, ready to hydrate documents one by one, each independently of the others.

    `problems` are errors in the environment itself. With errors, no document is hydrated: each would only repeat them.
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
        """The keys of all services in the specs; computed on first use, as it is seldom needed."""
        return frozenset(spec.key for spec in self._specs if spec.is_service)

    @property
    def environment(self) -> ReadObject | None:
        """The variable `environment` of expressions and policies; None without an environment."""
        return self._context.seen if self._context.name else None

    @property
    def read(self) -> frozenset[str]:
        """The values of the variables that the environment declares. No message may contain them."""
        return self._context.read

    @property
    def variables(self) -> Mapping[str, str]:
        """The variables that the environment declares, with their values."""
        return self._context.variables

    @property
    def namespace(self) -> str | None:
        """The namespace of services whose documents name none; None if the environment names none either."""
        return str(self._context.namespace.value) if self._context.namespace else None

    def release(self, *, whole: bool) -> tuple[Release, tuple[Problem, ...]]:
        """Return the workloads of all documents, and every error; see `hydrate`."""
        made = [self.service(spec) for spec in self._specs if spec.is_service]
        matched = frozenset[int]().union(*(each.matched for each in made))
        problems = [*self.problems, *(problem for each in made for problem in each.problems)]
        services = sorted((each.service for each in made if each.service), key=lambda service: service.key)
        release = Release(environment=self._name, services=tuple(services))
        return release, (*problems, *(self.unmatched(matched) if whole else ()))

    def service(self, spec: Spec) -> HydratedService:
        """Return the workload of a document, or the problems that it has in this environment."""
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
        """Return a problem for each patch that matched no document."""
        if self.problems:
            return []  # no document was hydrated
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
    metadata, body = evaluation.expanded(object_at(tree, "metadata"), object_at(tree, "spec"), wrong)
    wrong += wrong_values(metadata, body, spec, positions, origins, unread=bool(wrong))
    if not wrong:  # references are checked only if the types are right
        wrong += wrong_references(body, spec, positions, origins=origins, there=there)
    make = spec.definition.to_workload
    if wrong or make is None:
        return None
    schema = spec.definition.schema
    whole = filled(body, schema, origins)
    tree = {"apiVersion": spec.tree.get("apiVersion"), "kind": spec.kind, "metadata": metadata, "spec": whole}
    made = make(
        Hydrated(
            key=spec.key,
            fields=build(body, schema),
            labels=named_texts_at(metadata, "labels"),
            annotations=named_texts_at(metadata, "annotations"),
            position=spec.position,
            positions=positions,
            tree=tree,
            origins=origins,
        )
    )
    if excluded := _uses_of_excluded(made, found):
        wrong += excluded
        return None
    return replace(made, namespace=text_at(metadata, "namespace") or None, withheld=evaluation.withheld(tree))


def _in_namespace(tree: ReadObject, found: Context, origins: dict[str, tuple[Origin, ...]]) -> ReadObject:
    """Set the namespace of the environment if the document names none."""
    metadata = object_at(tree, "metadata")
    if found.namespace is None or metadata.get("namespace") is not None:
        return tree
    origins["metadata.namespace"] = (found.namespace,)
    return {**tree, "metadata": {**metadata, "namespace": found.namespace.value}}


def _uses_of_excluded(service: Workload, found: Context) -> list[Problem]:
    """Report each service in `uses` that the environment excludes."""
    problems: list[Problem] = []
    for index, used in enumerate(service.uses if found.exclusions else ()):
        if exclusion := found.exclusion(used):
            where = nearest(service.positions, item("spec.uses", index), service.position)
            says = f"uses `{used}`, which environment {exclusion.environment} excludes (`{exclusion.pattern}`)"
            hint = f"change spec.exclude at {exclusion.at}, or patch spec.uses of {service.key}"
            problems.append(Problem(where=where, says=says, hint=hint))
    return problems


def _in(found: Context, problem: Problem) -> Problem:
    """Return a problem that names its environment, with the values that `env()` has read removed."""
    says, hint = without(problem.says, found.read), without(problem.hint or "", found.read)
    environments = (found.name,) if found.name else ()
    return replace(problem, says=says, hint=hint or None, environments=environments)
