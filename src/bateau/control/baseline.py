"""Split the errors of one side of a comparison into new ones, and those that the other side has as well.

Called by control.comparison. Pure.

Invariant: of n equal findings on one side and m on the other, exactly the surplus is new. Held by
tests/plan/test_pairing.py::test_of_equal_findings_only_the_surplus_is_new.
Refused: matching by line; a line moves with every edit above it. A finding whose message has changed is new.
"""

from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from bateau.domain.finding import Finding
from bateau.domain.problem import Problem
from bateau.plan import stem

T = TypeVar("T", Finding, Problem)


@dataclass(frozen=True, kw_only=True)
class Split(Generic[T]):
    """The findings or problems of only the desired side, of both sides, and of only the observed side."""

    new: tuple[T, ...]
    both: tuple[T, ...]
    gone: tuple[T, ...]


def split_findings(desired: Iterable[Finding], observed: Iterable[Finding]) -> Split[Finding]:
    """Match findings by rule, verdict, subject and message. Of equal ones, those with the same path match first."""
    return _split(list(desired), list(observed), _finding, lambda finding: finding.path)


def split_problems(desired: Iterable[Problem], observed: Iterable[Problem]) -> Split[Problem]:
    """Match problems by file and message. Of equal ones, those on the same line match first."""
    return _split(list(desired), list(observed), problem_identity, lambda problem: problem.where)


def problem_identity(problem: Problem) -> tuple[str | None, str, str]:
    """Return the identity of a problem, which is the same in two commits: the file and the message."""
    return problem.where.file if problem.where else None, problem.says, problem.severity


def _split(
    desired: Sequence[T], observed: Sequence[T], identity: Callable[[T], Hashable], place: Callable[[T], Hashable]
) -> Split[T]:
    exact = Counter((identity(each), place(each)) for each in observed)
    both: list[T] = []
    rest: list[T] = []
    for each in desired:
        at = (identity(each), place(each))
        if exact[at]:
            exact[at] -= 1
            both.append(each)
        else:
            rest.append(each)
    left = Counter[Hashable]()
    for (each, _), number in exact.items():
        left[each] += number
    new: list[T] = []
    for each in rest:
        if left[identity(each)]:
            left[identity(each)] -= 1
            both.append(each)
        else:
            new.append(each)
    gone: list[T] = []
    for each in observed:
        if left[identity(each)]:
            left[identity(each)] -= 1
            gone.append(each)
    return Split(new=tuple(new), both=tuple(both), gone=tuple(gone))


def _finding(finding: Finding) -> tuple[str, ...]:
    kind, space, name = finding.subject.partition(" ")
    namespace, slash, own = name.rpartition("/")
    without = stem(kind, own) if space else None
    if without is None:
        return finding.rule, finding.verdict, finding.subject, finding.says
    # The hash in a generated name changes with every edit of the content.
    return finding.rule, finding.verdict, f"{kind} {namespace}{slash}{without}", finding.says.replace(own, without)
