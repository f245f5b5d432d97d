"""From texts to workloads: read, hydrate and judge. The walk continues to the units of a site.

Called by cli.alert_exports, cli.check, control, ui.pages.policies_page, ui.reports and wiring. Pure: a value in, a
value out.

Invariant: an error in the specs gives no steps at all. A service whose model is not here yet, or that does not fit, is
left as it is and does not block any other service. Held by tests/control/test_texts.py and
tests/control/test_fetches.py.
"""

import logging
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import assert_never

from bateau.control.places import EnvironmentPlace, places_of
from bateau.domain.api_key import ApiKey
from bateau.domain.finding import Finding
from bateau.domain.problem import Problem, Severity
from bateau.domain.release import Release
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
from bateau.hydrate.served_names import shared_names
from bateau.kit.concealed import without
from bateau.policy import Policy, judge, of_service, of_spec
from bateau.policy import understand as read_policies
from bateau.specs import Reading, read
from bateau.specs.kinds.key import keys_of

logger = logging.getLogger(__name__)


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
    keys: tuple[ApiKey, ...] = ()
    kinds: frozenset[str] | None = None  # of objects and of schemas; None if some objects could not be rendered
    places: tuple[EnvironmentPlace, ...] = ()

    @property
    def wrong(self) -> bool:
        """Whether an error, or a policy, forbids to apply these specs."""
        return any(problem.severity is Severity.ERROR for problem in self.problems)

    @property
    def mistaken(self) -> bool:
        """Whether the specs have an error that does not come from a policy."""
        errors = sum(problem.severity is Severity.ERROR for problem in self.problems)
        return errors > sum(finding.verdict == "error" for finding in self.findings)


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
    shared = shared_names(release.services)
    problems = (*reading.problems, *unmet, *shared, *unsound, *map(as_problem, findings))
    return Written(
        release=release,
        problems=in_order(problems),
        findings=findings,
        policies=tuple(policies),
        foreign=len(reading.foreign),
        environments=tuple(spec.name for spec in reading.specs if spec.kind == "Environment"),
        read=read,
        keys=keys_of(reading.specs, environment),
        places=places_of(reading.specs),
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


def api_keys(release: Release, secret: Callable[[str], str | None]) -> Mapping[str, str]:
    """Return the API keys of external models, by service key. `secret` looks up a variable."""
    names = ((service.key, key_variable(service)) for service in release.services)
    return {key: found for key, name in names if name and (found := secret(name))}
