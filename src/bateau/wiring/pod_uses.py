"""The memory and CPU that the pods of each service of a cluster use, for its dashboard and its history.

Called by wiring.cluster_view.

Invariant: a service is known only if every replica that runs is measured: a part of its memory is never shown as all of
it. Held by tests/wiring/test_pod_uses.py::test_a_service_with_a_pod_that_is_not_measured_is_unknown.
Invariant: however many pages are open, the API server is asked once in ten seconds. Held by
tests/wiring/test_pod_uses.py::test_open_pages_share_what_was_measured.
"""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from bateau.domain.errors import ClusterError
from bateau.domain.figures import Uses
from bateau.domain.replica import Replica, ReplicaState
from bateau.ports.clock import Clock
from bateau.runtimes.kubernetes.api import ApiServer
from bateau.runtimes.kubernetes.usage import PodUse, pod_uses

FRESH_S: Final = 10.0
_PATIENCE_S: Final = 5.0
# A pod in another state may have no container that runs: what is measured of it counts, and nothing has to be.
_RUNS: Final = (ReplicaState.READY, ReplicaState.UNREADY)


class PodUses:
    """The latest measured use. `api` and `replicas` return those of now."""

    def __init__(
        self, clock: Clock, *, api: Callable[[], ApiServer], replicas: Callable[[], Sequence[Replica]]
    ) -> None:
        self._clock = clock
        self._api = api
        self._replicas = replicas
        self._latest = Uses()
        self._asked_at: float | None = None
        self._lock = asyncio.Lock()

    async def now(self) -> Uses:
        """Return the use of each service, at most ten seconds old. It is not known where the cluster measures none."""
        async with self._lock:
            now = self._clock.monotonic()
            if self._asked_at is None or now - self._asked_at >= FRESH_S:
                self._latest = await self._measured()
                self._asked_at = now
            return self._latest

    async def _measured(self) -> Uses:
        replicas = self._replicas()
        namespaces = {each.id.partition("/")[0] for each in replicas}
        if not namespaces:
            return Uses()
        try:
            async with asyncio.timeout(_PATIENCE_S):
                found = await pod_uses(self._api(), namespaces)
        except TimeoutError:
            return Uses(unknown=f"metrics.k8s.io gave no answer within {_PATIENCE_S:g} s")
        except ClusterError as error:
            hint = "" if error.hint is None else f" ({error.hint})"
            return Uses(unknown=f"{error.message}{hint}")
        return uses_of(replicas, found)


def uses_of(replicas: Sequence[Replica], found: Mapping[str, PodUse]) -> Uses:
    """Return the use of each service from that of its pods."""
    by_service: defaultdict[str, list[Replica]] = defaultdict(list)
    for each in replicas:
        by_service[each.service].append(each)
    known = {
        service: measured
        for service, pods in by_service.items()
        if all(each.id in found for each in pods if each.state in _RUNS)
        and (measured := [found[each.id] for each in pods if each.id in found])
    }
    return Uses(
        memory_bytes={service: sum(each.memory_bytes for each in pods) for service, pods in known.items()},
        cpu_cores={service: sum(each.cpu_cores for each in pods) for service, pods in known.items()},
    )
