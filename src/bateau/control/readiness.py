"""Which services have all their replicas: ready, of the desired revision, and with no step pending.

Called by control.loop.

Invariant: a service is judged by the revision that it should have, so the replicas of an old one never make it ready.
Held by tests/control/test_replicas.py.
"""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from bateau.control.path import runs_here
from bateau.control.walk import Outcome
from bateau.domain.release import Release
from bateau.domain.replica import Replica, ReplicaState
from bateau.domain.unit import Unit
from bateau.domain.workload import Workload
from bateau.ports.runtime import Observed

_GOOD = (ReplicaState.READY, ReplicaState.DONE)


@dataclass(frozen=True, kw_only=True)
class Readiness:
    """The desired state beside the observed one. `proxies` are the units of the planes. Each answer is found once.

    The models in `asleep` are as they should be.
    """

    release: Release
    outcome: Outcome | None
    observed: Observed
    proxies: Sequence[Unit]
    asleep: Collection[str] = ()

    @cached_property
    def services(self) -> frozenset[str]:
        """The keys of the services that are ready."""
        if self.outcome is None:
            return frozenset()
        moving, ready = self.observed.moving, self._counts
        return frozenset(s.key for s in self.release.services if s.key not in moving and self._is_ready(s, ready))

    @cached_property
    def everything(self) -> bool:
        """Whether every service and every proxy is ready."""
        ready = self._counts
        if any(not ready.get(unit.key) for unit in self.proxies):
            return False
        return not self.observed.moving and all(self._is_ready(service, ready) for service in self.release.services)

    @cached_property
    def replicas(self) -> Sequence[Replica]:
        """The replicas of the desired revisions, ready or not."""
        units = (*self.proxies, *(self.outcome.units.values() if self.outcome else ()))
        wanted = {(str(unit.key), unit.revision) for unit in units}
        return [replica for replica in self.observed.replicas if (replica.service, replica.revision) in wanted]

    @cached_property
    def _counts(self) -> Mapping[str, int]:
        return Counter(each.service for each in self.replicas if each.state in _GOOD and not each.draining)

    def _is_ready(self, service: Workload, ready: Mapping[str, int]) -> bool:
        if not runs_here(service) or service.key in self.asleep:
            return True
        made = self.outcome is not None and service.key in self.outcome.units
        return made and ready.get(service.key, 0) >= service.replicas
