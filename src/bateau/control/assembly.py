"""Turn services, one at a time, into manifests that are patched, validated by schemas and judged by policies.

Called by control, wiring.delivery, wiring.packing and wiring.written.

Invariant: a unit depends on its service, its surroundings, the rules and the CRDs of its environment, and on nothing
else. A digest of these is therefore a safe cache key. Held by tests/control/test_packing.py.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Any, Final

from bateau.control.path import concealed
from bateau.domain.finding import Finding
from bateau.domain.manifest import Manifest
from bateau.domain.problem import Problem
from bateau.domain.workload import Documents, Workload
from bateau.hydrate import ManifestPatches
from bateau.kit.concealed import without
from bateau.policy import Judge, Policy, Subject, judges_manifests, of_manifest
from bateau.ports.foreign import Expansion, Foreign
from bateau.render import Schemas, Surroundings, render_service, validate
from bateau.specs import Reading


@dataclass(frozen=True, kw_only=True)
class Rules:
    """The rules for manifests: schemas, the day that decides on exceptions, and policies besides those in the specs."""

    schemas: Schemas
    today: date
    starter: Sequence[Policy] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """The manifests of one service, with their findings. `matched` are the patches that matched any of its manifests.

    `unrendered` are the findings of the target, which could not express a part; `unsound` those of the schemas; and
    `judged` those of the policies.
    """

    manifests: tuple[Manifest, ...]
    unrendered: tuple[Finding, ...] = ()
    unsound: tuple[Finding, ...] = ()
    judged: tuple[Finding, ...] = ()
    problems: tuple[Problem, ...] = ()
    matched: frozenset[int] = frozenset()


def is_lacking(said: Iterable[Problem | Finding]) -> bool:
    """Whether a service without manifests should have some: its documents have errors, or were not checked."""
    return any(isinstance(each, Problem) or each.verdict == "not checked" for each in said)


CRD: Final = ("apiextensions.k8s.io", "CustomResourceDefinition")


class Assembly:
    """The patches, policies and schemas that all services of one environment share."""

    def __init__(
        self,
        reading: Reading,
        environment: str | None,
        rules: Rules,
        policies: Iterable[Policy],
        *,
        variables: Mapping[str, str] | None = None,
        foreign: Foreign | None = None,
    ) -> None:
        self.patches = ManifestPatches(reading.specs, environment, variables)
        every = [*policies, *rules.starter]
        self._judge = Judge(every, today=rules.today, environment=self.patches.environment)
        self._judges_manifests = any(judges_manifests(policy.spec.match) for policy in every)
        self._read = self.patches.read
        self._schemas = rules.schemas
        self._foreign = foreign
        self._served: tuple[str, ...] = ()

    @property
    def schemas(self) -> Schemas:
        """The schemas that manifests are checked against."""
        return self._schemas

    def include_crds(self, services: Iterable[tuple[Workload, Surroundings]]) -> None:
        """Add the CRDs of the services to the schemas, for all units of the environment. Call it before `unit`.

        Charts come last, so that their templates see the API versions of the CRDs of all other services.
        """
        if self._foreign is None:
            return
        charts: list[tuple[Workload, Surroundings]] = []
        others: list[tuple[Workload, Surroundings]] = []
        for service, around in services:
            if isinstance(service.runs, Documents):
                (charts if service.runs.chart else others).append((service, around))
        crds = self._crds_of(others)
        if crds:
            self._schemas = self._schemas.with_crds(crds)
            self._served = self._schemas.crd_versions()
        if of_charts := self._crds_of(charts):
            self._schemas = self._schemas.with_crds([*crds, *of_charts])

    def _crds_of(self, services: Iterable[tuple[Workload, Surroundings]]) -> list[Mapping[str, Any]]:
        found = [each for service, around in services for each in self._expanded(service, around).manifests]
        return [each.tree for each in self.patches.applied([e for e in found if e.group_kind == CRD]).manifests]

    def _expanded(self, service: Workload, around: Surroundings) -> Expansion:
        if self._foreign is None:
            return Expansion()
        return self._foreign.expand(service, namespace=around.namespace, api_versions=self._served)

    def unit(self, service: Workload, around: Surroundings, *, doubled: bool = False) -> Unit:
        """Return the unit of a service. `doubled`: a service of another kind has the same name."""
        expansion, brought = None, ()
        if self._foreign and service.brings_documents:
            expansion = self._expanded(service, around)
            brought = expansion.problems
        rendering = render_service(service, around, expansion=expansion, scopes=self._schemas.scope, doubled=doubled)
        patched = self.patches.applied(rendering.manifests)
        checked = [(manifest, validate([manifest], self._schemas)) for manifest in patched.manifests]
        return Unit(
            manifests=patched.manifests,
            unrendered=concealed(rendering.findings, self._read),
            unsound=concealed((finding for _, findings in checked for finding in findings), self._read),
            judged=self._judged_as_served(checked),
            problems=tuple(self._of(service, each) for each in (*brought, *patched.problems)),
            matched=patched.matched,
        )

    def _judged_as_served(self, checked: Iterable[tuple[Manifest, tuple[Finding, ...]]]) -> tuple[Finding, ...]:
        """Return the findings of policies about manifests, each given with the findings of its schema."""
        if not self._judges_manifests:
            return ()
        return self.judged(
            of_manifest(
                manifest,
                self._schemas.with_defaults(manifest.tree),
                rejected=any(finding.verdict == "error" for finding in findings),
            )
            for manifest, findings in checked
        )

    def standing(self) -> tuple[Finding, ...]:
        """Return the findings about the policies themselves."""
        return self._judge.standing()

    def judged(self, subjects: Iterable[Subject]) -> tuple[Finding, ...]:
        """Return the findings of policies about documents, services or manifests."""
        return concealed(self._judge.of(subjects), self._read)

    def _of(self, service: Workload, problem: Problem) -> Problem:
        """Return a problem with its service added, and with every value that `env()` has read removed."""
        hint = problem.hint and without(problem.hint, self._read)
        return replace(problem, says=without(problem.says, self._read), hint=hint, services=(str(service.key),))
