"""A delivery plan in the few words that a forge shows beside a commit.

Called by `plan --status`.

Invariant: "success" only where it may be delivered as it stands: no mistake, no policy against it, no removal that
nobody confirmed.
"""

from bateau.api.plan_words import change_words, counted
from bateau.control.delivery import Rendered
from bateau.domain.change import Delivery
from bateau.domain.problem import Severity
from bateau.ports.repository import State


def plan_status(
    desired: Rendered, delivery: Delivery | None = None, *, removals_confirmed: int | None = None
) -> tuple[State, str]:
    """Return the state and why. `delivery` is None where what is written is too wrong to be compared.

    A mistake goes before a policy, as in exit codes: policies judge what is written as soon as it can be read.
    """
    mistakes = _mistakes(desired)
    unconfirmed = False
    if delivery is not None:
        unconfirmed = delivery.needs_confirmation not in {None, removals_confirmed}
        # That nobody confirmed a removal is among the problems of a plan, and no mistake.
        mistakes += sum(problem.severity is Severity.ERROR for problem in delivery.problems) - unconfirmed
    if mistakes:
        return "failure", counted(mistakes, "mistake")
    if desired.wrong:
        return "failure", "policy forbids it"
    if delivery is None or not delivery.pending:
        return "success", "no changes"
    if unconfirmed:
        return "failure", f"{counted(len(delivery.removals), 'object')} would be removed, which nobody confirmed"
    return "success", change_words(delivery)


def _mistakes(desired: Rendered) -> int:
    """Count what is wrong that no policy says; what follows from a mistake in a spec is not counted once more."""
    written = desired.written
    if written.wrong:
        errors = sum(problem.severity is Severity.ERROR for problem in written.problems)
        return errors - sum(finding.verdict == "error" for finding in written.findings)
    return sum(finding.verdict == "error" for finding in (*desired.unrendered, *desired.unsound))
