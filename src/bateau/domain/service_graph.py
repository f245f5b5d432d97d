"""Who uses whom: the services of an environment, with their states where they run.

Made by wiring.service_graph; shown by cli.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from bateau.domain.workload import Workload

MISSING = "not there"


@dataclass(frozen=True)
class Live:
    """A running service: its state, and its requests in a second, None where they are not known."""

    state: str
    requests_per_s: float | None = None


@dataclass(frozen=True)
class ServiceGraph:
    """The services by their keys with those that each uses, in the order of keys; `live` has those that run.

    A service that is used and does not exist is among the keys, too, and in `missing`.
    """

    uses: Mapping[str, tuple[str, ...]]
    missing: frozenset[str] = frozenset()
    live: Mapping[str, Live] = field(default_factory=dict[str, Live])

    @cached_property
    def edges(self) -> tuple[tuple[str, str], ...]:
        """Who uses whom, sorted."""
        return tuple((name, used) for name, all_used in self.uses.items() for used in all_used)

    @cached_property
    def used(self) -> frozenset[str]:
        """The services that another one uses."""
        return frozenset(end for start, end in self.edges if start != end)


def service_graph(services: Iterable[Workload], live: Mapping[str, Live] | None = None) -> ServiceGraph:
    """Return the graph of workloads."""
    uses = {str(each.key): tuple(sorted({str(used) for used in each.uses})) for each in services}
    missing = frozenset(used for all_used in uses.values() for used in all_used) - uses.keys()
    return ServiceGraph(dict(sorted({**uses, **dict.fromkeys(missing, ())}.items())), missing, live or {})
