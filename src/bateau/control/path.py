"""The complete path from specs to the units of a site, on one screen.

Called by control, wiring.applying, wiring.reading and wiring.written. Pure: a value in, a value out.

Invariant: an error in the specs gives no steps at all. A service whose model is not here yet, or that does not fit, is
left as it is and does not block any other service. Held by tests/control/test_texts.py and
tests/control/test_fetches.py.
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
    """The current state of a site. `files` are keyed by service key; `where` says how services are reached there."""

    target: str
    machine: Machine
    directory: PurePath
    where: Whereabouts
    files: Mapping[str, ModelFile] = field(default_factory=dict[str, ModelFile])


@dataclass(frozen=True, kw_only=True)
class Written:
    """The specs, as far as they can be understood without the current state of a site."""

    release: Release
    problems: tuple[Problem, ...]
    foreign: int
    findings: tuple[Finding, ...] = ()
    policies: tuple[Policy, ...] = ()
    environments: tuple[str, ...] = ()
    read: frozenset[str] = frozenset()  # values that env() may have returned: no message shows them
    kinds: frozenset[str] | None = None  # of objects and of schemas; None if some objects could not be rendered

    @property
    def wrong(self) -> bool:
        """Whether an error, or a policy, forbids to apply these specs."""
        return any(problem.severity is Severity.ERROR for problem in self.problems)

    @property
    def mistaken(self) -> bool:
        """Whether the specs have an error that does not come from a policy."""
        errors = sum(problem.severity is Severity.ERROR for problem in self.problems)
        return errors > sum(finding.verdict == "error" for finding in self.findings)


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """The units that a release becomes on a site.

    `units` are keyed by service key. `refused` says why a service has no unit. A service in `held` may get a unit
    later, so its replicas stay.
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
    """Read, hydrate for an environment, and judge by the policies: every stage that needs no state of a site.

    `today` decides which exceptions from policies have expired; `starter` are policies besides those in the texts.
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
    """Do the same as `understand` with texts that were read already, once for all environments.

    `namespace` overrides the namespace of the environment.
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
    """Return the findings with every value that `env()` has read removed from their messages."""
    return tuple(replace(each, says=without(each.says, read)) for each in findings) if read else tuple(findings)


def in_order(problems: Iterable[Problem]) -> tuple[Problem, ...]:
    """Return problems sorted by their position; problems without a position come last."""
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

    If that fails for a service, expected or by a bug, the service is refused with the reason; all others get a unit.
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
    """Call `make` for each service that is not refused, and return the results. A bug in it refuses that service."""
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
    """Place all services together. If a bug prevents that, place each one alone to find the service that causes it."""
    try:
        placement = place(release, world.files, world.machine)
    except Exception:  # noqa: BLE001 - it is raised again below, where it is reported with its service
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
    """Return the unit of a service, or the reason why it cannot have one.

    Returns None if the service has no unit yet, or has none on such a site.
    """
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
    """Whether one of Bateau's own processes serves it."""
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
    """Return the reference of the model that must be on disk before the service can start, None without one."""
    match service.runs:
        case ModelServer(engine="llama.cpp" | None, source=source):
            return source
        case _:
            return None


def models_needed(release: Release) -> Mapping[str, str]:
    """Return the reference of every model that must be on disk, by service key."""
    return {service.key: source for service in release.services if (source := model_source(service))}


def key_variable(service: Workload) -> str | None:
    """Return the environment variable that holds the API key of an external model, None if it has no key."""
    return service.runs.api_key_variable if isinstance(service.runs, External) else None
