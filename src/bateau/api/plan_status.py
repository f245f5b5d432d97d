"""A delivery plan as the commit status that a forge shows beside a commit.

Called by cli.plan.

Invariant: the state is "success" only if the change can be delivered: it adds no error and no violation of a policy,
and every removal that needs confirmation was confirmed. Held by tests/wiring/test_plan_status.py.
"""

from collections.abc import Sequence
from typing import Final

from bateau.domain.change import Delivery
from bateau.domain.problem import Severity
from bateau.plan.words import change_words, counted
from bateau.ports.repository import State

_WORST_FIRST: Final[Sequence[State]] = ("failure", "error", "pending", "success")


def plan_status(*deliveries: Delivery) -> tuple[State, str]:
    """Return the state and the reason: of several clusters the worst state, and the reason of each."""
    found = [_status(each) for each in deliveries]
    if len(found) == 1:
        return found[0]
    # The description is cut by the forge: what prevents the delivery comes first.
    said = sorted(zip(deliveries, found, strict=True), key=lambda pair: _WORST_FIRST.index(pair[1][0]))
    return said[0][1][0], "; ".join(f"{delivery.cluster}: {says}" for delivery, (_, says) in said)


def _status(delivery: Delivery) -> tuple[State, str]:
    """Return the state of one plan. An error takes precedence over a policy, as in exit codes."""
    if delivery.unreachable:
        return "error", f"not compared: {delivery.unreachable.says}"
    # An unconfirmed removal is among the problems of a plan, but it is not an error of the specs.
    errors = sum(problem.severity is Severity.ERROR for problem in delivery.problems) - delivery.unconfirmed
    errors += sum(finding.verdict == "error" and not finding.of_policy for finding in delivery.findings)
    if errors:
        return "failure", counted(errors, "error")
    if delivery.forbidden:
        return "failure", "policy forbids it"
    if delivery.unconfirmed:
        return "failure", f"{counted(len(delivery.removals), 'object')} would be removed without confirmation"
    says = change_words(delivery) if delivery.pending else "no changes"
    if delivery.gaps:
        says += f", {counted(len(delivery.gaps), 'service')} not compared"
    known = delivery.baseline.errors
    return "success", f"{says}; {counted(known, 'old error')}" if known else says
