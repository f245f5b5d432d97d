"""Turn services, one at a time, into units of a target, with the findings about each.

Called by control.

Invariant: a unit depends on its service, its surroundings, the checks and the CRDs of its environment, and on nothing
else. A digest of these is therefore a safe cache key. Held by tests/control/test_packing.py.
Invariant: a bug in the assembly of one service is reported there. Held by tests/control/test_contained.py.
"""

import contextlib
import logging
from collections.abc import Iterable
from dataclasses import dataclass, replace

from bateau.control.object_checks import Checked, ObjectChecks
from bateau.control.path import concealed
from bateau.control.withholding import sealed
from bateau.domain.errors import bug
from bateau.domain.finding import Finding
from bateau.domain.manifest import Manifest
from bateau.domain.problem import Problem
from bateau.domain.process import ProcessTemplate
from bateau.domain.unit import Body, Objects, Unit
from bateau.domain.workload import Documents, Workload
from bateau.kit.concealed import without
from bateau.ports.foreign import Expansion, Foreign
from bateau.render import Surroundings, render_service

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Assembled:
    """The unit of one service, None if it has none, and its findings.

    `unrendered` are the findings of the target, which could not express a part; `unsound` those of the schemas; and
    `judged` those of the policies. `matched` are the patches that matched any of its manifests.
    """

    unit: Unit | None = None
    unrendered: tuple[Finding, ...] = ()
    unsound: tuple[Finding, ...] = ()
    judged: tuple[Finding, ...] = ()
    problems: tuple[Problem, ...] = ()
    matched: frozenset[int] = frozenset()

    @property
    def manifests(self) -> tuple[Manifest, ...]:
        """The Kubernetes objects of the unit; none if its body is of another kind."""
        return self.unit.body.manifests if self.unit and isinstance(self.unit.body, Objects) else ()

    @property
    def refusal(self) -> str | None:
        """Why there is no unit; None if there is one, or if nothing is wrong with having none."""
        if self.unit is not None:
            return None
        errors = [each.says for each in self.unrendered if each.verdict == "error"]
        return next((each.says for each in self.problems), None) or next(iter(errors), None)


def is_lacking(said: Iterable[Problem | Finding]) -> bool:
    """Whether a service without manifests should have some: its documents have errors, or were not checked."""
    return any(isinstance(each, Problem) or each.verdict == "not checked" for each in said)


def failed(service: Workload, error: Exception) -> Assembled:
    """Report a bug in the assembly of a service, and log it."""
    logger.error("%s gets no unit", service.key, exc_info=error)
    says = f"{bug(error)}; the log has the details"
    return Assembled(problems=(Problem(where=service.position, says=says, services=(str(service.key),)),))


def _unknown_scope(_group: str, _kind: str) -> None:
    """Say of no kind whether its objects are in a namespace."""


class Assembly:
    """Makes the units of one target in one environment.

    `checks` apply to units that are Kubernetes objects; `foreign` reads the foreign documents that services include.
    """

    def __init__(self, target: str, *, checks: ObjectChecks | None = None, foreign: Foreign | None = None) -> None:
        self.target = target
        self._checks = checks
        self._foreign = foreign
        self._served: tuple[str, ...] = ()

    def include_crds(self, services: Iterable[tuple[Workload, Surroundings]]) -> None:
        """Add the CRDs of services to the schemas, for all units of the environment. Called before `unit`.

        Charts come last: their templates find the API versions of the CRDs that lie beside them in the repository.
        """
        if self._foreign is None or self._checks is None:
            return
        charts: list[tuple[Workload, Surroundings]] = []
        others: list[tuple[Workload, Surroundings]] = []
        for service, around in services:
            if isinstance(service.runs, Documents):
                (charts if service.runs.chart else others).append((service, around))
        self._include_crds_of(others, self._checks)
        self._served = self._checks.schemas.crd_versions()
        self._include_crds_of(charts, self._checks)

    def _include_crds_of(self, services: Iterable[tuple[Workload, Surroundings]], checks: ObjectChecks) -> None:
        found: list[Manifest] = []
        for service, around in services:
            # `unit` meets a bug again, and reports it.
            with contextlib.suppress(Exception):
                found += self._expanded(service, around).manifests
        checks.include(checks.crds_of(found))

    def _expanded(self, service: Workload, around: Surroundings) -> Expansion:
        if self._foreign is None:
            return Expansion()
        return self._foreign.expand(service, namespace=around.namespace, api_versions=self._served)

    def unit(self, service: Workload, around: Surroundings, *, doubled: bool = False) -> Assembled:
        """Return the unit of a service with its findings. `doubled`: a service of another kind has the same name."""
        try:
            return self._assembled(service, around, doubled=doubled)
        except Exception as error:  # noqa: BLE001 - `failed` logs it
            return failed(service, error)

    def _assembled(self, service: Workload, around: Surroundings, *, doubled: bool) -> Assembled:
        expansion, problems = None, ()
        if self._foreign and service.brings_documents:
            expansion = self._expanded(service, around)
            problems = expansion.problems
        scopes = self._checks.schemas.scope if self._checks else _unknown_scope
        rendering = render_service(
            service, around, target=self.target, expansion=expansion, scopes=scopes, doubled=doubled
        )
        checked: Checked | None = None
        body: Body | None = rendering.body
        if isinstance(body, ProcessTemplate):
            body = sealed(body, service.withheld)
        elif self._checks is not None:
            checked = self._checks.checked(rendering.manifests)
            body = replace(body, manifests=checked.manifests) if body is not None else None
            problems = (*problems, *checked.problems)
        return Assembled(
            unit=None if body is None else self._unit(service, body),
            unrendered=concealed(rendering.findings, self._checks.read) if self._checks else rendering.findings,
            unsound=checked.unsound if checked else (),
            judged=checked.judged if checked else (),
            problems=tuple(self._of(service, each) for each in problems),
            matched=checked.matched if checked else frozenset(),
        )

    def _unit(self, service: Workload, body: Body) -> Unit:
        return Unit(
            key=service.key,
            target=self.target,
            body=body,
            replicas=service.replicas,
            drain_timeout_s=service.drain_timeout_s,
        )

    def _of(self, service: Workload, problem: Problem) -> Problem:
        """Return a problem that names its service and contains no value that `env()` has read."""
        read = self._checks.read if self._checks else frozenset[str]()
        hint = problem.hint and without(problem.hint, read)
        return replace(problem, says=without(problem.says, read), hint=hint, services=(str(service.key),))
