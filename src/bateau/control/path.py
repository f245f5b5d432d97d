"""The whole way from what people wrote to what to do next, on one screen.

Called by control.loop at every turn, and by the CLI's read commands. Pure: a value in, a value out.

Invariant: a mistake in what is written gives no steps at all; a service whose model is not here yet, or that does not
fit, is left as it is and hinders no other.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date

from bateau.domain.errors import ReplicaError
from bateau.domain.finding import Finding
from bateau.domain.machine import Machine
from bateau.domain.model_file import ModelFile
from bateau.domain.placement import Placement
from bateau.domain.plan import Desired, Draining, Plan
from bateau.domain.problem import Problem, Severity
from bateau.domain.process import ProcessTemplate
from bateau.domain.release import Release, Service
from bateau.domain.replica import Replica
from bateau.domain.spec import ModelSpec
from bateau.hydrate import Hydration
from bateau.kit.concealed import without
from bateau.place import place
from bateau.plan import plan
from bateau.policy import Policy, judge, of_service, of_spec
from bateau.policy import understand as read_policies
from bateau.ports.templates import Templates
from bateau.specs import Reading, read

GATEWAY = "gateway/envoy"


@dataclass(frozen=True, kw_only=True)
class World:
    """What is there now. `files` and `addresses` go by service key."""

    machine: Machine
    files: Mapping[str, ModelFile] = field(default_factory=dict[str, ModelFile])
    observed: Sequence[Replica] = ()
    draining: Mapping[str, Draining] = field(default_factory=dict[str, Draining])
    addresses: Mapping[str, str] = field(default_factory=dict[str, str])
    gateway: ProcessTemplate | None = None


@dataclass(frozen=True, kw_only=True)
class Written:
    """What people wrote, as far as it can be understood without looking at the world."""

    release: Release
    problems: tuple[Problem, ...]
    foreign: int
    findings: tuple[Finding, ...] = ()
    policies: tuple[Policy, ...] = ()
    environments: tuple[str, ...] = ()
    read: frozenset[str] = frozenset()  # what env() may have given: nothing that is said shows it

    @property
    def wrong(self) -> bool:
        """Whether anything in it forbids to act on it: a mistake, or a policy."""
        return any(problem.severity is Severity.ERROR for problem in self.problems)

    @property
    def mistaken(self) -> bool:
        """Whether anything is wrong that no policy says."""
        errors = sum(problem.severity is Severity.ERROR for problem in self.problems)
        return errors > sum(finding.verdict == "error" for finding in self.findings)


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What follows from what is written and what is there."""

    placement: Placement
    templates: Mapping[str, ProcessTemplate]
    refused: Mapping[str, str]
    plan: Plan


def understand(
    texts: Mapping[str, str],
    environment: str | None = None,
    variables: Mapping[str, str] | None = None,
    *,
    today: date,
    starter: Sequence[Policy] = (),
) -> Written:
    """Read, hydrate for an environment, and judge by the policies: everything that needs no world.

    `today` decides which exceptions from policies have expired; `starter` are policies beside those in the texts.
    """
    return understood(read(texts), environment, variables, today=today, starter=starter)


def understood(
    reading: Reading,
    environment: str | None,
    variables: Mapping[str, str] | None,
    *,
    today: date,
    starter: Sequence[Policy] = (),
) -> Written:
    """Do what `understand` does with texts that were read already, once for all environments."""
    hydration = Hydration(reading.specs, environment, variables)
    release, unmet = hydration.release(whole=reading.whole)
    read = hydration.read
    policies, unsound = read_policies(reading.specs)
    subjects = [*map(of_spec, reading.specs), *map(of_service, release.services)]
    findings = judge(subjects, [*policies, *starter], today=today, environment=hydration.environment)
    findings = concealed(findings, read)
    problems = (*reading.problems, *unmet, *unsound, *map(as_problem, findings))
    return Written(
        release=release,
        problems=in_order(problems),
        findings=findings,
        policies=tuple(policies),
        foreign=len(reading.foreign),
        environments=tuple(spec.name for spec in reading.specs if spec.kind == "Environment"),
        read=read,
    )


def concealed(findings: Iterable[Finding], read: Collection[str]) -> tuple[Finding, ...]:
    """Return verdicts whose words show nothing of what `env()` has read."""
    return tuple(replace(each, says=without(each.says, read)) for each in findings) if read else tuple(findings)


def in_order(problems: Iterable[Problem]) -> tuple[Problem, ...]:
    """Return problems by their places; those without one come last."""
    return tuple(sorted(problems, key=lambda p: (p.where is None, p.where or 0, p.says)))


def as_problem(finding: Finding) -> Problem:
    """Return a verdict as people read it among the mistakes; what was not checked, or excepted, is a warning."""
    verdict = "" if finding.verdict in ("error", "warning") else f"{finding.verdict}: "
    severity = Severity.ERROR if finding.verdict == "error" else Severity.WARNING
    policy = "policy " if "/" in finding.rule else ""
    says = f"{policy}{finding.rule}, {finding.subject}: {verdict}{finding.says}"
    return Problem(where=finding.where, says=says, severity=severity)


def walk(release: Release, world: World, templates: Templates) -> Outcome:
    """Turn a release into the steps that can be taken now."""
    placement = place(release, world.files, world.machine)
    refused = {key: problem.says for key, problem in placement.refused.items()}
    made: dict[str, ProcessTemplate] = {}
    desired: list[Desired] = []
    for service in release.services:
        if not runs_here(service) or service.key in refused:
            continue
        file = world.files.get(service.key)
        if needs_file(service) and file is None:
            continue
        try:
            template = templates.template(
                service, file=file, capacity=placement.capacities.get(service.key), addresses=world.addresses
            )
        except ReplicaError as error:
            refused[service.key] = f"{error.message}. {error.hint}" if error.hint else error.message
            continue
        made[service.key] = template
        desired.append(_desired(service, template))
    if world.gateway:
        made[GATEWAY] = world.gateway
        desired.append(Desired(service=GATEWAY, revision=world.gateway.revision, replicas=1, surge=False))
    settled_elsewhere = {s.key for s in release.services if runs_here(s)} - set(made)
    movable = [replica for replica in world.observed if replica.service not in settled_elsewhere]
    return Outcome(placement=placement, templates=made, refused=refused, plan=plan(desired, movable, world.draining))


def runs_here(service: Service) -> bool:
    """Whether a process of ours serves it."""
    if isinstance(service.spec, ModelSpec):
        return service.spec.engine != "external"
    return service.spec.command is not None


def needs_file(service: Service) -> bool:
    """Whether its model has to be on disk before it can start."""
    return isinstance(service.spec, ModelSpec) and (service.spec.engine or "llama.cpp") == "llama.cpp"


def models_needed(release: Release) -> Mapping[str, str]:
    """Return the reference of every model that has to be on disk, by service key."""
    return {s.key: s.spec.source for s in release.services if needs_file(s) and isinstance(s.spec, ModelSpec)}


def key_variable(service: Service) -> str | None:
    """Return the environment variable that holds the API key of an external model, None where it has none."""
    spec = service.spec
    return spec.external.api_key_env if isinstance(spec, ModelSpec) and spec.external else None


def _desired(service: Service, template: ProcessTemplate) -> Desired:
    return Desired(
        service=service.key,
        revision=template.revision,
        replicas=service.spec.replicas,
        drain_timeout_s=service.spec.drain_timeout,
    )
