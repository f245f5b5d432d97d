"""The whole way from what people wrote to what to do next, on one screen.

Called by control.loop at every turn, and by the CLI's read commands. Pure: a value in, a value out.

Invariant: a mistake in what is written gives no steps at all; a service whose model is not here yet, or that does not
fit, is left as it is and hinders no other.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import PurePath
from typing import assert_never

from bateau.control.neighbourhood import Neighbourhood, member_of
from bateau.control.withholding import sealed
from bateau.domain.finding import Finding
from bateau.domain.inventory import Inventory, Machine
from bateau.domain.model_file import ModelFile
from bateau.domain.placement import Placement
from bateau.domain.plan import Desired, Draining, Plan
from bateau.domain.problem import Problem, Severity
from bateau.domain.process import ProcessTemplate
from bateau.domain.release import Release
from bateau.domain.replica import Replica
from bateau.domain.unit import Whereabouts
from bateau.domain.workload import (
    Command,
    Container,
    Documents,
    External,
    ModelServer,
    VirtualMachine,
    Wasm,
    Workload,
)
from bateau.hydrate import Hydration
from bateau.kit.concealed import without
from bateau.place import place
from bateau.plan import plan
from bateau.policy import Policy, judge, of_service, of_spec
from bateau.policy import understand as read_policies
from bateau.render import render_service
from bateau.specs import Reading, read

GATEWAY = "gateway/envoy"


@dataclass(frozen=True, kw_only=True)
class World:
    """What is there now. `files` go by service key; `where` is how services are called here."""

    machine: Machine
    directory: PurePath
    where: Whereabouts
    files: Mapping[str, ModelFile] = field(default_factory=dict[str, ModelFile])
    observed: Sequence[Replica] = ()
    draining: Mapping[str, Draining] = field(default_factory=dict[str, Draining])
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
    return tuple(sorted(problems, key=lambda p: (p.where is None, p.where or 0, p.says, p.services, p.environments)))


def as_problem(finding: Finding) -> Problem:
    """Return a finding as a problem; "not checked" and "excepted" are warnings."""
    verdict = "" if finding.verdict in ("error", "warning") else f"{finding.verdict}: "
    severity = Severity.ERROR if finding.verdict == "error" else Severity.WARNING
    policy = "policy " if "/" in finding.rule else ""
    says = f"{policy}{finding.rule}, {finding.subject}: {verdict}{finding.says}"
    services = (finding.service,) if finding.service and finding.service != finding.subject else ()
    return Problem(where=finding.where, says=says, severity=severity, services=services)


def walk(release: Release, world: World, target: str = "process") -> Outcome:
    """Turn a release into the steps that can be taken now."""
    placement = place(release, world.files, world.machine)
    refused = {key: problem.says for key, problem in placement.refused.items()}
    made: dict[str, ProcessTemplate] = {}
    desired: list[Desired] = []
    members = [member_of(each, world.where, target) for each in release.services]
    neighbourhood = Neighbourhood(members, release.environment, world.where.namespace)
    inventory = Inventory(
        machine=world.machine, directory=world.directory, files=world.files, capacities=placement.capacities
    )
    for service in release.services:
        if service.key in refused:
            continue
        rendering = render_service(service, neighbourhood.of(service.key, inventory), target=target)
        if isinstance(rendering.body, ProcessTemplate):
            made[service.key] = sealed(rendering.body, service.withheld)
            desired.append(_desired(service, rendering.body))
        elif wrong := next((finding for finding in rendering.findings if finding.verdict == "error"), None):
            refused[service.key] = wrong.says
    if world.gateway:
        made[GATEWAY] = world.gateway
        desired.append(Desired(service=GATEWAY, revision=world.gateway.revision, replicas=1, surge=False))
    settled_elsewhere = {s.key for s in release.services if runs_here(s)} - set(made)
    movable = [replica for replica in world.observed if replica.service not in settled_elsewhere]
    return Outcome(placement=placement, templates=made, refused=refused, plan=plan(desired, movable, world.draining))


def runs_here(service: Workload) -> bool:
    """Whether a process of ours serves it."""
    match service.runs:
        case Command() | ModelServer():
            return True
        case Container(command=command):
            return command is not None
        case External() | Wasm() | VirtualMachine() | Documents():
            return False
        case _:
            assert_never(service.runs)


def model_source(service: Workload) -> str | None:
    """Return the reference of the model that has to be on disk before it can start, None where there is none."""
    match service.runs:
        case ModelServer(engine="llama.cpp" | None, source=source):
            return source
        case _:
            return None


def models_needed(release: Release) -> Mapping[str, str]:
    """Return the reference of every model that has to be on disk, by service key."""
    return {service.key: source for service in release.services if (source := model_source(service))}


def key_variable(service: Workload) -> str | None:
    """Return the environment variable that holds the API key of an external model, None where it has none."""
    return service.runs.api_key_variable if isinstance(service.runs, External) else None


def _desired(service: Workload, template: ProcessTemplate) -> Desired:
    return Desired(
        service=service.key,
        revision=template.revision,
        replicas=service.replicas,
        drain_timeout_s=service.drain_timeout_s,
    )
