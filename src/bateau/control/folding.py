"""Fold the problems of several environments: equal ones become one, which names its services and environments.

Called by cli.render and wiring.written.

Invariant: a problem that all environments have names none of them. Held by
tests/wiring/test_check_names.py::test_a_problem_of_all_environments_names_none.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace

from bateau.control.path import in_order
from bateau.domain.problem import Problem


def folded(found: Mapping[str | None, Iterable[Problem]]) -> tuple[Problem, ...]:
    """Return the folded problems of all environments, in the order of their positions."""
    seen: dict[Problem, dict[tuple[str, ...], list[str | None]]] = {}
    for environment, problems in found.items():
        for problem in dict.fromkeys(problems):
            same = seen.setdefault(replace(problem, services=(), environments=()), {})
            same.setdefault(problem.services, []).append(environment)
    made: list[Problem] = []
    for problem, occurrences in seen.items():
        services: dict[tuple[str | None, ...], list[str]] = {}
        for each, environments in occurrences.items():
            services.setdefault(tuple(environments), []).extend(each)
        for environments, keys in services.items():
            named = () if len(environments) == len(found) else tuple(name for name in environments if name)
            made.append(replace(problem, services=tuple(dict.fromkeys(keys)), environments=named))
    return in_order(made)
