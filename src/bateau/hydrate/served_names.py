"""Report names that several models share: a request that names one would go to only one of them.

Called by control.path. Pure.
"""

from collections.abc import Iterable

from bateau.domain.problem import Problem
from bateau.domain.workload import Workload


def shared_names(services: Iterable[Workload]) -> list[Problem]:
    """Return an error for each served name that is also another model's, in the same namespace."""
    every = sorted(services, key=lambda each: each.key)
    owners = {(each.namespace, each.name): each for each in every if each.is_named_in_bodies}
    found: list[Problem] = []
    for each in every:
        for index, name in enumerate(each.served_names):
            first = owners.setdefault((each.namespace, name), each)
            where = each.positions.get(f"spec.servedNames[{index}]", each.position)
            if first is not each:
                says = f"{each.key} serves the name {name}, and so does {first.key}"
                found.append(Problem(where=where, says=says, hint="keep it in one of them"))
            elif name == each.name or name in each.served_names[:index]:
                says = f"{each.key} serves the name {name} twice"
                found.append(Problem(where=where, says=says, hint="remove it"))
    return found
