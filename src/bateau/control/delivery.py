"""Render the specs of an environment into the manifests of a cluster, and collect all problems and findings.

Called by cli.cluster_apply, control and wiring. `render` uses
control.packing. Pure except for the files that `foreign` reads.

Invariant: a manifest that the schemas or the policies forbid is returned with its finding, and `wrong` is true. Held by
tests/wiring/test_plan_baseline.py.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from bateau.control.assembly import Assembly, is_lacking
from bateau.control.object_checks import ObjectChecks, Rules
from bateau.control.path import Written, as_problem, in_order, understood
from bateau.control.unrendered import keys_not_rendered, unrendered
from bateau.control.walk import World, walk
from bateau.domain.finding import Finding
from bateau.domain.manifest import Manifest
from bateau.domain.problem import Problem, Severity
from bateau.hydrate import ManifestPatches
from bateau.kit.position import nearest
from bateau.kit.suggest import did_you_mean
from bateau.plan import Unrendered
from bateau.policy import judges_manifests
from bateau.ports.foreign import Foreign
from bateau.render import repeated
from bateau.specs import Reading


@dataclass(frozen=True, kw_only=True)
class Rendered:
    """The manifests of an environment, and the findings about them.

    `unrendered` come from the target, `unsound` from the schemas, `judged` from the policies. `missing` are the
    services that could not be rendered; its side names the directory or the commit. `absent`: the environment does not
    exist. `services_known` is false for manifests that were rendered before. `texts` are the spec files, and `reading`
    what they say; `foreign_problems` are the problems of foreign documents that could not be read.
    """

    written: Written
    manifests: tuple[Manifest, ...]
    unrendered: tuple[Finding, ...]
    unsound: tuple[Finding, ...]
    judged: tuple[Finding, ...]
    missing: Unrendered = field(default_factory=Unrendered)
    absent: bool = False
    services_known: bool = True
    texts: Mapping[str, str] = field(default_factory=dict[str, str])
    reading: Reading | None = None
    foreign_problems: frozenset[Problem] = frozenset()

    @property
    def findings(self) -> tuple[Finding, ...]:
        """All findings about the manifests."""
        return (*self.unrendered, *self.unsound, *self.judged)

    @property
    def needs_accelerators(self) -> bool:
        """Whether the objects depend on what a cluster offers."""
        return any(service.accelerator for service in self.written.release.services)

    @property
    def wrong(self) -> bool:
        """Whether the environment must not be applied."""
        return self.written.wrong or _any_error(self.findings)

    @property
    def mistaken(self) -> bool:
        """Whether there is an error that does not come from a policy."""
        return self.written.mistaken or _any_error((*self.unrendered, *self.unsound))


def deliver(
    reading: Reading,
    environment: str | None,
    rules: Rules,
    *,
    variables: Mapping[str, str] | None = None,
    namespace: str | None = None,
    foreign: Foreign | None = None,
) -> Rendered:
    """Render the manifests of an environment, and check them by schemas and policies.

    `reading` has the texts of all environments and is made once. `foreign` reads the foreign documents of apps; without
    it, they are not checked. `namespace` applies to services whose documents name none.
    """
    written = understood(reading, environment, variables, today=rules.today, starter=rules.starter, namespace=namespace)
    checks = ObjectChecks(reading, environment, rules, written.policies, variables=variables)
    assembly = Assembly("kubernetes", checks=checks, foreign=foreign)
    by_key = walk(written.release, World(offers=rules.offers), assembly).assembled
    units = by_key.values()
    manifests = tuple(manifest for unit in units for manifest in unit.manifests)
    matched = frozenset[int]().union(*(unit.matched for unit in units))
    wrong = [problem for unit in units for problem in unit.problems]
    made = all(unit.manifests or not is_lacking((*unit.problems, *unit.unrendered)) for unit in units)
    whole = made and not written.mistaken  # otherwise a patch may target a document that could not be read
    wrong += checks.patches.unmatched(matched, {str(manifest.tree["kind"]) for manifest in manifests}, whole=whole)
    if wrong:
        written = replace(written, problems=in_order((*written.problems, *wrong)))
    if whole:
        written = replace(written, kinds=checks.schemas.kind_names() | {each.group_kind[1] for each in manifests})
    return Rendered(
        written=written,
        manifests=manifests,
        unrendered=(
            *(finding for unit in units for finding in unit.unrendered),
            *keys_not_rendered(reading.specs, environment),
        ),
        unsound=(*repeated(manifests), *(finding for unit in units for finding in unit.unsound)),
        # Without repetitions: each unit repeats the findings about a policy itself.
        judged=tuple(dict.fromkeys(finding for unit in units for finding in unit.judged)),
        missing=unrendered(reading, written, by_key, environment),
        absent=environment not in (None, *written.environments) and environment not in reading.doubtful,
        reading=reading,
        foreign_problems=frozenset(p for unit in units if not unit.manifests for p in unit.problems),
    )


def check(
    reading: Reading,
    environment: str | None,
    rules: Rules,
    *,
    variables: Mapping[str, str] | None = None,
    foreign: Foreign | None = None,
) -> Written:
    """Do the same as `understood`. If policies, patches or foreign documents concern manifests, check these as well."""
    written = understood(reading, environment, variables, today=rules.today, starter=rules.starter)
    judges = any(judges_manifests(policy.spec.match) for policy in (*written.policies, *rules.starter))
    brings = any(service.brings_documents for service in written.release.services)
    if not (judges or brings or ManifestPatches(reading.specs, environment)):
        return written
    rendered = deliver(reading, environment, rules, variables=variables, foreign=foreign)
    written = rendered.written
    seen = {manifest.service for manifest in rendered.manifests}
    unseen = [
        Finding(
            rule="render",
            subject=service.key,
            verdict="not checked",
            says="it has no manifests, so policies about manifests do not see it; `bateau render` reports the reason",
            where=service.position,
            environment=environment,
        )
        for service in written.release.services
        if judges and service.key not in seen and not service.brings_documents
    ]
    owned = {service.key for service in written.release.services if service.brings_documents}
    told = [finding for finding in rendered.unrendered if finding.subject in owned]
    judged = (*rendered.judged, *unseen)
    problems = (*written.problems, *map(as_problem, (*told, *rendered.unsound, *judged)))
    return replace(written, problems=in_order(problems), findings=(*written.findings, *judged))


def unseen_kinds(found: Sequence[Written]) -> tuple[Problem, ...]:
    """Return a problem for each kind in a policy that no object and no schema has in any of the environments.

    A kind that is close to a known one is misspelled, which is an error. Any other may belong to a later object.
    """
    if any(written.kinds is None for written in found):
        return ()
    seen = frozenset[str]().union(*(written.kinds or () for written in found))
    problems: list[Problem] = []
    for policy in found[0].policies:
        if not judges_manifests(policy.spec.match):
            continue
        for index, kind in enumerate(policy.spec.match.kinds):
            if kind in seen:
                continue
            hint = did_you_mean(kind, seen)
            problems.append(
                Problem(
                    where=nearest(policy.positions, f"spec.match.kinds[{index}]", policy.position),
                    says=f"no object has the kind `{kind}`, and no CRD defines it",
                    hint=hint or "check the spelling, or add its CRD with an App",
                    severity=Severity.ERROR if hint else Severity.WARNING,
                )
            )
    return tuple(problems)


def _any_error(findings: Iterable[Finding]) -> bool:
    return any(finding.verdict == "error" for finding in findings)
