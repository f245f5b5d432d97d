"""The way from what people wrote to what a cluster would be given, and to what that would change.

Called by the commands `check`, `plan` and `explain`, through wiring; `render` goes by control.packing. Pure but for
what `foreign` reads.

Invariant: a manifest that the schemas or the policies forbid is shown with its finding, and `wrong` says so.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from bateau.control.assembly import Assembly, Rules, is_lacking
from bateau.control.neighbourhood import Neighbourhood, member_of
from bateau.control.path import Written, as_problem, in_order, understood
from bateau.domain.change import Delivery
from bateau.domain.finding import Finding
from bateau.domain.manifest import Manifest
from bateau.domain.unit import Whereabouts
from bateau.hydrate import ManifestPatches
from bateau.plan import Documents, Limits, compare
from bateau.policy import judges_manifests
from bateau.ports.foreign import Foreign
from bateau.render import repeated
from bateau.specs import Reading


@dataclass(frozen=True, kw_only=True)
class Rendered:
    """The manifests of an environment, and everything that is said of them.

    `unrendered` is what the target could not express, `unsound` what the schemas say, `judged` what the policies say.
    """

    written: Written
    manifests: tuple[Manifest, ...]
    unrendered: tuple[Finding, ...]
    unsound: tuple[Finding, ...]
    judged: tuple[Finding, ...]

    @property
    def findings(self) -> tuple[Finding, ...]:
        """All of it."""
        return (*self.unrendered, *self.unsound, *self.judged)

    @property
    def wrong(self) -> bool:
        """Whether it must not be applied."""
        return self.written.wrong or _any_error(self.findings)

    @property
    def mistaken(self) -> bool:
        """Whether anything is wrong that no policy says."""
        return self.written.mistaken or _any_error((*self.unrendered, *self.unsound))


def deliver(
    reading: Reading,
    environment: str | None,
    rules: Rules,
    *,
    variables: Mapping[str, str] | None = None,
    namespace: str = "default",
    foreign: Foreign | None = None,
) -> Rendered:
    """Render the manifests of an environment, and hold them to schemas and policies.

    `reading` is of the texts of all environments: it is made once. `foreign` reads the foreign documents that apps
    bring; without it, they are not checked.
    """
    written = understood(reading, environment, variables, today=rules.today, starter=rules.starter)
    line = Assembly(reading, environment, rules, written.policies, variables=variables, foreign=foreign)
    services = written.release.services
    around = Neighbourhood(
        (member_of(each, Whereabouts(namespace=namespace)) for each in services), environment, namespace
    )
    line.include_crds((each, around.of(each.key)) for each in services)
    units = [line.unit(each, around.of(each.key), doubled=around.doubles(each.key)) for each in services]
    manifests = tuple(manifest for unit in units for manifest in unit.manifests)
    matched = frozenset[int]().union(*(unit.matched for unit in units))
    wrong = [problem for unit in units for problem in unit.problems]
    made = all(unit.manifests or not is_lacking((*unit.problems, *unit.unrendered)) for unit in units)
    whole = made and not written.mistaken  # else what a patch is for may be what could not be read
    wrong += line.patches.unmatched(matched, {str(manifest.tree["kind"]) for manifest in manifests}, whole=whole)
    if wrong:
        written = replace(written, problems=in_order((*written.problems, *wrong)))
    return Rendered(
        written=written,
        manifests=manifests,
        unrendered=tuple(finding for unit in units for finding in unit.unrendered),
        unsound=(*repeated(manifests), *(finding for unit in units for finding in unit.unsound)),
        # Without repetitions: what is said of a policy, each unit says.
        judged=tuple(dict.fromkeys(finding for unit in units for finding in unit.judged)),
    )


def check(
    reading: Reading,
    environment: str | None,
    rules: Rules,
    *,
    variables: Mapping[str, str] | None = None,
    foreign: Foreign | None = None,
) -> Written:
    """Do what `understood` does; where policies, patches or foreign documents speak of manifests, look at them, too."""
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
            says="it has no manifests, so rules over manifests do not see it; `bateau render` says why",
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


def _any_error(findings: Iterable[Finding]) -> bool:
    return any(finding.verdict == "error" for finding in findings)


def unplanned(desired: Rendered, *, environment: str | None) -> Delivery:
    """Return a delivery that says what is wrong with what is written, and nothing of its effect."""
    told = {as_problem(finding) for finding in desired.written.findings}
    return Delivery(
        environment=environment,
        planned=False,
        findings=(*desired.written.findings, *desired.findings),
        problems=tuple(problem for problem in desired.written.problems if problem not in told),
    )


def difference(
    desired: Rendered,
    observed: Rendered | Iterable[Manifest | Mapping[str, Any]],
    *,
    environment: str | None,
    removals_confirmed: int | None = None,
) -> Delivery:
    """Return what `desired` would change of `observed`: another rendering, or objects whose services are not known."""
    known = isinstance(observed, Rendered)
    documents = Documents(
        desired=desired.written.release.services if known else (),
        observed=observed.written.release.services if known else (),
        read=desired.written.read | (observed.written.read if known else frozenset[str]()),
    )
    return compare(
        desired.manifests,
        observed.manifests if known else observed,
        environment=environment,
        documents=documents,
        findings=(*desired.written.findings, *desired.findings),
        limits=Limits(removals_confirmed=removals_confirmed),
    )
