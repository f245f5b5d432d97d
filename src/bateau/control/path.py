"""The whole way from what people wrote to what to do next, on one screen.

Called by control.loop at every turn, and by the CLI's read commands. Pure: a value in, a value out.

Invariant: a mistake in what is written gives no steps at all; a service whose model is not here yet, or that does not
fit, is left as it is and hinders no other.
"""

import logging
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import PurePath
from typing import TypeVar, assert_never

from bateau.control.neighbourhood import Neighbourhood, member_of
from bateau.control.withholding import sealed
from bateau.domain.errors import bug
from bateau.domain.finding import Finding
from bateau.domain.inventory import Inventory, Machine
from bateau.domain.model_file import ModelFile
from bateau.domain.placement import Placement
from bateau.domain.problem import Problem, Severity
from bateau.domain.process import ProcessTemplate
from bateau.domain.release import Release
from bateau.domain.unit import Unit, Whereabouts
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
from bateau.policy import Policy, judge, of_service, of_spec
from bateau.policy import understand as read_policies
from bateau.ports.target import Surroundings
from bateau.render import render_service
from bateau.specs import Reading, read

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class World:
    """What a site has now. `files` go by service key; `where` is how services are called there."""

    target: str
    machine: Machine
    directory: PurePath
    where: Whereabouts
    files: Mapping[str, ModelFile] = field(default_factory=dict[str, ModelFile])


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
    kinds: frozenset[str] | None = None  # of objects, and of schemas; None where not all objects could be rendered

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
    """What follows from a release on a site.

    `units` go by service key. `refused` says why a service has none. Those in `held` may get one later: their replicas
    stay.
    """

    placement: Placement
    units: Mapping[str, Unit]
    refused: Mapping[str, str]
    held: frozenset[str]


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
    namespace: str | None = None,
) -> Written:
    """Do what `understand` does with texts that were read already, once for all environments.

    `namespace` takes the place of the one that the environment names.
    """
    hydration = Hydration(reading.specs, environment, variables, namespace=namespace)
    release, unmet = hydration.release(whole=reading.whole)
    read = hydration.read
    policies, unsound = read_policies(reading.specs, doubtful=reading.doubtful)
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


def walk(release: Release, world: World) -> Outcome:
    """Turn a release into the units of a site.

    A service for which that fails, also by a bug, is refused with the reason, and keeps no other from its unit.
    """
    refused: dict[str, str] = {}
    units: dict[str, Unit] = {}
    placement = _placed(release, world, refused)
    members = _contained(release, refused, lambda service: member_of(service, world.where, world.target)).values()
    neighbourhood = Neighbourhood(members, release.environment)
    inventory = Inventory(
        machine=world.machine, directory=world.directory, files=world.files, capacities=placement.capacities
    )

    def made(service: Workload) -> Unit | str | None:
        return unit_of(service, neighbourhood.of(service.key, inventory), world.target)

    for key, unit in _contained(release, refused, made).items():
        if isinstance(unit, Unit):
            units[key] = unit
        elif unit is not None:
            refused[key] = unit
    held = frozenset(str(service.key) for service in release.services if runs_here(service)) - units.keys()
    return Outcome(placement=placement, units=units, refused=refused, held=held)


_Made = TypeVar("_Made")


def _contained(release: Release, refused: dict[str, str], make: Callable[[Workload], _Made]) -> dict[str, _Made]:
    """Return what is made of each service that is not refused; one for which that fails by a bug is refused."""
    found: dict[str, _Made] = {}
    for service in release.services:
        if service.key in refused:
            continue
        try:
            found[service.key] = make(service)
        except Exception as error:
            refused[service.key] = f"{bug(error)}; the log has the details"
            logger.exception("%s is left as it is", service.key)
    return found


def _placed(release: Release, world: World, refused: dict[str, str]) -> Placement:
    """Place all services together; where a bug prevents that, each for itself, to find the one it comes from."""
    try:
        placement = place(release, world.files, world.machine)
    except Exception:  # noqa: BLE001 - it comes again below, where it is reported with its service
        alone = _contained(
            release,
            refused,
            lambda service: place(replace(release, services=(service,)), world.files, world.machine),
        ).values()
        placement = Placement(
            capacities={key: capacity for each in alone for key, capacity in each.capacities.items()},
            refused={key: problem for each in alone for key, problem in each.refused.items()},
            problems=tuple(problem for each in alone for problem in each.problems),
        )
    refused |= {key: problem.says for key, problem in placement.refused.items()}
    return placement


def unit_of(service: Workload, around: Surroundings, target: str) -> Unit | str | None:
    """Return the unit of a service, why there is none, or None where it has none yet, or none on such a site."""
    rendering = render_service(service, around, target=target)
    if rendering.body is None:
        wrong = next((finding for finding in rendering.findings if finding.verdict == "error"), None)
        return wrong.says if wrong else None
    return Unit(
        key=service.key,
        target=target,
        body=sealed(rendering.body, service.withheld)
        if isinstance(rendering.body, ProcessTemplate)
        else rendering.body,
        replicas=service.replicas,
        drain_timeout_s=service.drain_timeout_s,
    )


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
