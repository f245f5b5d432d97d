"""Keep the services that a rollback holds as they were in their revisions.

Called by control.declared, wiring.clusters and wiring.declaring. `service_at` reads commits; the rest is pure.

Invariant: a hold whose commit cannot be read is a problem of its service, and is not dropped: a rolled back service
would roll forward. Held by tests/wiring/test_rolling_back.py and
tests/control/test_declared.py::test_a_hold_that_cannot_be_kept_leaves_its_service_as_it_is.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace

from bateau.control.deliveries import Deliveries, digests_of
from bateau.control.delivery import Rendered
from bateau.domain.errors import ControlError, SourceError
from bateau.domain.finding import Finding
from bateau.domain.problem import Problem

# Returns the rendering of a commit that has the service. Raises ControlError and the SourceError family.
ServiceAt = Callable[[str, str], Rendered]


@dataclass(frozen=True, kw_only=True)
class Held:
    """The specs with each held service as in its revision. `says` names the holds, `pins` their revisions.

    `problems` are the holds that cannot be kept; each names its service.
    """

    made: Rendered
    says: tuple[str, ...] = ()
    pins: Mapping[str, int] = field(default_factory=dict[str, int])
    problems: tuple[Problem, ...] = ()


def with_holds(made: Rendered, deliveries: Deliveries, service_at: ServiceAt) -> Held:
    """Return the specs with the services that a rollback holds as they were in their revisions."""
    found = Held(made=made)
    if not deliveries.holds:
        return found
    for key, hold in sorted(deliveries.lasting(digests_of(made)).items()):
        revision = deliveries.revision(hold.revision)
        commit = (revision and revision.commit) or ""
        try:
            then = service_at(key, commit)
        except (SourceError, ControlError) as error:
            says = f"{key} is rolled back to revision {hold.revision}, which cannot be read: {error.message}"
            hint = "fetch the commit, such as with `git fetch --unshallow`; or change the spec, which ends the rollback"
            found = replace(
                found, problems=(*found.problems, Problem(where=None, says=says, hint=hint, services=(key,)))
            )
            continue
        says = f"{key} is rolled back to revision {hold.revision}, commit {commit[:12]}, until its spec changes"
        found = replace(
            found,
            made=_replaced(found.made, key, then),
            says=(*found.says, says),
            pins={**found.pins, key: hold.revision},
        )
    return found


def _replaced(made: Rendered, key: str, then: Rendered) -> Rendered:
    """Return a rendering with one service, and the findings about it, from another one."""
    return replace(
        made,
        manifests=(
            *(each for each in made.manifests if each.service != key),
            *(each for each in then.manifests if each.service == key),
        ),
        unrendered=_without(made.unrendered, key),
        unsound=_without(made.unsound, key),
        judged=_without(made.judged, key),
    )


def _without(findings: Iterable[Finding], service: str) -> tuple[Finding, ...]:
    return tuple(each for each in findings if service not in (each.service, each.subject))
