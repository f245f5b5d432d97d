"""List the services of a directory or a commit that could not be rendered, with the reasons, and the keys.

Called by control.delivery and control.packing. Pure.

Invariant: a service that is missing because of an error, or because a program is not installed, has a reason here. Held
by tests/wiring/test_plan_baseline.py.
"""

from collections.abc import Mapping, Sequence

from bateau.control.assembly import Assembled, is_lacking
from bateau.control.path import Written
from bateau.control.stored_keys import without_effect
from bateau.domain.finding import Finding
from bateau.domain.problem import Problem, Severity
from bateau.domain.spec import Spec
from bateau.plan import Unrendered
from bateau.specs import Reading
from bateau.specs.kinds.key import keys_of


def keys_not_rendered(specs: Sequence[Spec], environment: str | None) -> tuple[Finding, ...]:
    """Return a finding for each Key: clusters have no object for it; and for limits that clusters do not count."""
    keys = {key.name: key for key in keys_of(specs, environment)}
    says = "not rendered: a controller that follows the specs gives keys to the gateway of its cluster"
    return tuple(
        Finding(
            rule="render",
            subject=f"key/{spec.name}",
            verdict="warning",
            says=each,
            where=spec.position,
            environment=environment,
        )
        for spec in specs
        if spec.kind == "Key"
        for each in (says, without_effect(keys[spec.name]) if spec.name in keys else None)
        if each
    )


def unrendered(
    reading: Reading, written: Written, units: Mapping[str, Assembled], environment: str | None
) -> Unrendered:
    """Return the services without manifests that should have some. `units` are keyed by service key.

    A service whose unit is empty on purpose is not among them.
    """
    errors = [problem for problem in written.problems if problem.severity is Severity.ERROR]
    missing = {spec.key: spec for spec in reading.specs if spec.is_service and spec.key not in units}
    several = len(missing) > 1 and not units
    if environment is not None and (environment not in written.environments or several):
        return Unrendered(everything=_words(errors[0]) if errors else f"there is no Environment {environment}")
    reasons: dict[str, str] = {
        key: _words(_nearest(errors, spec.position.file)) for key, spec in missing.items() if errors
    }
    for key, unit in units.items():
        said = [*unit.problems, *unit.unrendered]
        if not unit.manifests and (is_lacking(said) or _any_error(said)):
            reasons[key] = _words(_first(said))
    return Unrendered(reasons=reasons, names=reading.doubtful, partial=not reading.whole)


def _nearest(errors: Sequence[Problem], file: str) -> Problem:
    return next((each for each in errors if each.where and each.where.file == file), errors[0])


def _first(said: Sequence[Problem | Finding]) -> Problem | Finding:
    return next((each for each in said if _any_error([each])), said[0])


def _any_error(said: Sequence[Problem | Finding]) -> bool:
    return any(
        each.severity is Severity.ERROR if isinstance(each, Problem) else each.verdict == "error" for each in said
    )


def _words(said: Problem | Finding) -> str:
    return f"{said.where}: {said.says}" if said.where else said.says
