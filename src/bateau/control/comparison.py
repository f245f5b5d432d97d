"""Compare two renderings: return the plan, and the errors that the change adds.

Called by wiring.clusters and wiring.delivery. An error that both sides have is the baseline: it is reported, and does
not block the change. `check`, `render` and `apply` judge the desired side as a whole; only `plan` has a baseline.

Invariant: a side that could not be rendered is reported as an error, and its objects are neither created nor removed.
Held by tests/wiring/test_plan_baseline.py.
Refused: matching findings by line; a line moves with every edit above it.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

from bateau.control.baseline import Split, problem_identity, split_findings, split_problems
from bateau.control.delivery import Rendered
from bateau.control.object_checks import ObjectChecks, Rules
from bateau.control.path import Written, as_problem, in_order
from bateau.domain.change import Baseline, Delivery, Gap
from bateau.domain.finding import Finding
from bateau.domain.manifest import Manifest
from bateau.domain.problem import Problem, Severity
from bateau.domain.release import Release
from bateau.kit.json_value import ReadObject
from bateau.plan import Documents, Limits, Unrendered, compare
from bateau.policy import of_manifest
from bateau.policy import understand as read_policies
from bateau.render import validate
from bateau.specs import Reading


def taken(
    manifests: Iterable[Manifest | ReadObject],
    side: str,
    reading: Reading,
    rules: Rules,
    *,
    environment: str | None,
    variables: Mapping[str, str] | None = None,
) -> Rendered:
    """Return manifests that were rendered before as one side, checked by the same schemas and policies as `reading`."""
    every = tuple(each if isinstance(each, Manifest) else _foreign(each) for each in manifests)
    sound = [each for each in every if _is_object(each.tree)]
    policies, _ = read_policies(reading.specs)
    checks = ObjectChecks(reading, environment, rules, policies, variables=variables)
    return Rendered(
        written=Written(release=Release(environment=environment, services=()), problems=(), foreign=0),
        manifests=every,
        unrendered=(),
        unsound=validate(sound, rules.schemas),
        judged=tuple(dict.fromkeys(checks.judged(map(of_manifest, sound)))),
        missing=Unrendered(side=side),
        services_known=False,
    )


def unread(side: str, reason: str, *, environment: str | None) -> Rendered:
    """Return a side that could not be read at all, for the given reason."""
    return Rendered(
        written=Written(release=Release(environment=environment, services=()), problems=(), foreign=0),
        manifests=(),
        unrendered=(),
        unsound=(),
        judged=(),
        missing=Unrendered(side=side, everything=reason),
    )


def difference(
    desired: Rendered, observed: Rendered, *, environment: str | None, confirmed: int | None = None
) -> Delivery:
    """Return the changes that turn `observed` into `desired`, and the errors that are new in `desired`.

    `confirmed` is the number of removals that the user has confirmed.
    """
    known = observed.services_known
    findings = split_findings(_findings(desired), _findings(observed))
    problems = _split_problems(desired, observed)
    delivery = compare(
        desired.manifests,
        observed.manifests,
        environment=environment,
        documents=Documents(
            desired=desired.written.release.services if known else (),
            observed=observed.written.release.services if known else (),
            read=desired.written.read | observed.written.read,
            desired_unrendered=desired.missing,
            observed_unrendered=Unrendered() if observed.absent else observed.missing,
        ),
        findings=findings.new,
        limits=Limits(removals_confirmed=confirmed),
    )
    unread = () if desired.absent else _unread(observed, _problems(desired))
    told = [*problems.new, *unread, *delivery.problems]
    if not any(problem.severity is Severity.ERROR for problem in told):
        told += [_unknown(gap) for gap in delivery.gaps if gap.may_go]
    baseline = Baseline(
        side=observed.missing.side,
        findings=findings.both,
        problems=problems.both,
        errors_fixed=sum(each.verdict == "error" for each in findings.gone)
        + sum(each.severity is Severity.ERROR for each in problems.gone),
    )
    return replace(delivery, problems=in_order(told), baseline=baseline)


def _foreign(tree: ReadObject) -> Manifest:
    return Manifest(service=None, target="observed", tree=tree, origins={})


def _is_object(tree: ReadObject) -> bool:
    match tree:
        case {"apiVersion": str(), "kind": str(), "metadata": {"name": str()}}:
            return True
        case _:
            return False


def _findings(side: Rendered) -> tuple[Finding, ...]:
    return (*side.written.findings, *side.findings)


def _problems(side: Rendered) -> list[Problem]:
    """Return the problems without the verdicts of policies, which are among the findings."""
    told = {as_problem(finding) for finding in side.written.findings}
    return [problem for problem in side.written.problems if problem not in told]


def _split_problems(desired: Rendered, observed: Rendered) -> Split[Problem]:
    """Split the problems of both sides. An error that both sides have still counts as new if it may hide a change.

    An error in a document whose file is the same on both sides hides no change. An error in foreign documents may hide
    one, because their other files may differ; so may an error that prevents the rendering of everything.
    """
    mine = _problems(desired)
    same = {file for file, text in desired.texts.items() if observed.texts.get(file) == text}
    harmless = [
        problem
        for problem in mine
        if problem.severity is not Severity.ERROR
        or not (
            desired.missing.everything
            or problem in desired.foreign_problems
            or problem.where is None
            or problem.where.file not in same
        )
    ]
    found = split_problems(harmless, _problems(observed))
    kept = set(harmless)
    return replace(found, new=(*(problem for problem in mine if problem not in kept), *found.new))


def _unread(observed: Rendered, told: Iterable[Problem]) -> Iterator[Problem]:
    """Yield why the observed side could not be rendered, without the errors that the desired side reports (`told`)."""
    side = observed.missing.side
    if observed.absent:
        says = f"{side} has no Environment {observed.written.release.environment}: every object is new"
        yield Problem(where=None, says=says, severity=Severity.WARNING)
    elif observed.missing:
        known = {problem_identity(problem) for problem in told}
        everything = Problem(where=None, says=observed.missing.everything or "its specs have errors")
        for problem in _problems(observed) or [everything]:
            if problem.severity is Severity.ERROR and problem_identity(problem) not in known:
                place = f"{problem.where}: " if problem.where else ""
                says = f"{side} could not be rendered: {place}{problem.says}"
                yield Problem(where=None, says=says, hint=problem.hint)


def _unknown(gap: Gap) -> Problem:
    number = len(gap.may_go)
    objects = "object" if number == 1 else "objects"
    says = f"{number} {objects} may be removed: {gap.service or 'a service'} could not be rendered: {gap.reason}"
    return Problem(where=None, says=says)
