"""Patch the Kubernetes objects of an environment, validate them by schemas, and judge them by policies.

Called by control and wiring.

Invariant: findings show no value that `env()` has read. Held by tests/wiring/test_plan_shows.py.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Final

from bateau.control.path import concealed
from bateau.domain.finding import Finding
from bateau.domain.manifest import Manifest
from bateau.domain.offers import Offers
from bateau.domain.problem import Problem
from bateau.hydrate import ManifestPatches
from bateau.kit.json_value import ReadObject
from bateau.policy import Judge, Policy, Subject, judges_manifests, of_manifest
from bateau.render import Schemas, validate
from bateau.specs import Reading

CRD: Final = ("apiextensions.k8s.io", "CustomResourceDefinition")


@dataclass(frozen=True, kw_only=True)
class Rules:
    """The rules for manifests: schemas, the day that decides on exceptions, and policies besides those in the specs.

    `offers` are the accelerators of the cluster that the manifests are for, None if they are not known.
    """

    schemas: Schemas
    today: date
    starter: Sequence[Policy] = ()
    offers: Offers | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """The patched manifests of one service, the findings of schemas (`unsound`) and policies (`judged`).

    `matched` are the patches that matched any of the manifests.
    """

    manifests: tuple[Manifest, ...]
    unsound: tuple[Finding, ...]
    judged: tuple[Finding, ...]
    problems: tuple[Problem, ...]
    matched: frozenset[int]


class ObjectChecks:
    """The patches, schemas and policies of one environment."""

    def __init__(
        self,
        reading: Reading,
        environment: str | None,
        rules: Rules,
        policies: Iterable[Policy],
        *,
        variables: Mapping[str, str] | None = None,
    ) -> None:
        self.patches = ManifestPatches(reading.specs, environment, variables)
        every = [*policies, *rules.starter]
        self._judge = Judge(every, today=rules.today, environment=self.patches.environment)
        self._judges_manifests = any(judges_manifests(policy.spec.match) for policy in every)
        self.read = self.patches.read
        self.schemas = rules.schemas

    def crds_of(self, manifests: Iterable[Manifest]) -> list[ReadObject]:
        """Return the CRDs among manifests, patched."""
        found = [each for each in manifests if each.group_kind == CRD]
        return [each.tree for each in self.patches.applied(found).manifests]

    def include(self, crds: Sequence[ReadObject]) -> None:
        """Add CRDs to the schemas."""
        if crds:
            self.schemas = self.schemas.with_crds(crds)

    def checked(self, manifests: tuple[Manifest, ...]) -> Checked:
        """Return the manifests of one service, patched, and the findings about them."""
        patched = self.patches.applied(manifests)
        checked = [(manifest, validate([manifest], self.schemas)) for manifest in patched.manifests]
        return Checked(
            manifests=patched.manifests,
            unsound=concealed((finding for _, findings in checked for finding in findings), self.read),
            judged=self._judged_as_served(checked),
            problems=tuple(patched.problems),
            matched=patched.matched,
        )

    def _judged_as_served(self, checked: Iterable[tuple[Manifest, tuple[Finding, ...]]]) -> tuple[Finding, ...]:
        """Return the findings of policies about manifests, each given with the findings of its schema."""
        if not self._judges_manifests:
            return ()
        return self.judged(
            of_manifest(
                manifest,
                self.schemas.with_defaults(manifest.tree),
                rejected=any(finding.verdict == "error" for finding in findings),
            )
            for manifest, findings in checked
        )

    def standing(self) -> tuple[Finding, ...]:
        """Return the findings about the policies themselves."""
        return self._judge.standing()

    def judged(self, subjects: Iterable[Subject]) -> tuple[Finding, ...]:
        """Return the findings of policies about documents, services or manifests."""
        return concealed(self._judge.of(subjects), self.read)
