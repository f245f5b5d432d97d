"""Find the step of a value's chain that a reviewer has to look at: the one that changed.

Called by plan.difference.

Invariant: only a step with a place is chosen if there is one; the same chains give the same step. Held by
tests/plan/test_cause.py.
Refused: always the last step; for a chart that is the line of the template, which did not change.
"""

from collections.abc import Sequence

from bateau.domain.origin import Origin


def cause_of(chain: Sequence[Origin], other: Sequence[Origin]) -> int | None:
    """Return the index of the step in `chain`; `other` is the chain of the other side. None for an empty chain.

    It is the last step with a place. If a template gave the value, it is the first value that the template read and
    that `other` does not have.
    """
    placed = [index for index, step in enumerate(chain) if step.at is not None]
    if not placed:
        return len(chain) - 1 if chain else None
    last = placed[-1]
    if chain[last].how == "foreign":
        known = [(step.says, step.value) for step in other if step.how == "value"]
        first = last
        while first and chain[first - 1].how == "value":
            first -= 1
        for index in range(first, last):
            step = chain[index]
            if step.at is not None and (step.says, step.value) not in known:
                return index
    return last
