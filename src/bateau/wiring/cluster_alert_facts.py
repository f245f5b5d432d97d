"""Gather what the alerts of a cluster depend on: its services, and the facts that no measure shows.

Called by wiring.cluster_alerts.

Invariant: while a cluster cannot be reached, nothing else about it is known, so no other alert begins or ends. Held by
tests/wiring/test_cluster_alerts.py::test_while_a_cluster_is_away_no_other_alert_begins_or_ends.
Invariant: a controller that waits for another one alerts about nothing but the way to its cluster. Held by
tests/wiring/test_cluster_alerts.py::test_a_controller_that_waits_delivers_nothing_of_another.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from bateau.control.alert_conditions import Facts, Seen, Watched
from bateau.control.cluster_status import shown_key
from bateau.control.naming import service_named
from bateau.domain.alert_rules import FactName
from bateau.domain.event import Event
from bateau.domain.object_state import AUTOSCALERS
from bateau.domain.release import Release
from bateau.domain.replica import ReplicaState
from bateau.domain.status import ServiceState, ServiceStatus, Status
from bateau.ports.runtime import Observed
from bateau.wiring.alert_facts import ending_soon, known, out_of_memory, rejected, watched_service
from bateau.wiring.controller_terms import Terms

ALWAYS: Final = ("BateauClusterUnreachable", "BateauDeliveryFailed")
_NOT_SCHEDULED: Final = "not scheduled"


@dataclass(frozen=True, kw_only=True)
class ClusterFacts:
    """What the facts are read from. `failing` returns why the receivers of alerts fail. Satisfies `alerts.Watching`."""

    terms: Terms
    release: Callable[[], Release]
    failing: Callable[[], Mapping[str, str]]

    def services(self, status: Status | None) -> Sequence[Watched] | None:
        """Return the services that run on the cluster; None while that is not known."""
        if status is None or not self.terms.is_read:
            return None
        states = {each.service: each for each in status.services if each.state is not ServiceState.ELSEWHERE}
        return [
            watched_service(each, is_fetching=_is_beginning(states[each.key]))
            for each in self.release().services
            if each.key in states
        ]

    def facts(self, status: Status | None, events: Sequence[Event], now: float) -> Facts:
        """Return all facts. One that cannot be determined is None."""
        found: dict[FactName, Callable[[], Sequence[Seen] | None]] = {
            "cluster-unreachable": self._unreachable,
            "delivery-failed": lambda: [Seen(subject=name, says=why) for name, why in self.failing().items()],
            "drifted": self._of(status, self._drifted),
            "exception-ends": self._of(status, lambda _: self._exceptions(now)),
            "out-of-memory": self._of(status, lambda _: out_of_memory(events, now)),
            "revision-held": self._of(status, lambda _: self._held()),
            "rollout-failed": self._of(status, _failed),
            "source-failed": self._of(status, self._source),
            "specs-rejected": self._of(status, rejected),
            "unscheduled": self._of(status, _unscheduled),
        }
        return {name: known(name, look) for name, look in found.items()}

    def key_of(self, service: str) -> str:
        """Return the key of a service by its name. Raises ControlError."""
        return service_named(service, self.release()).key

    def rules(self) -> Collection[str] | None:
        """Return the rules about the way to the cluster while another controller acts; None: all rules."""
        return ALWAYS if self.terms.is_another else None

    def _of(
        self, status: Status | None, look: Callable[[Status], Sequence[Seen] | None]
    ) -> Callable[[], Sequence[Seen] | None]:
        return lambda: look(status) if status is not None and self.terms.is_read else None

    def _unreachable(self) -> Sequence[Seen]:
        why = self.terms.reach.unreachable
        return [Seen(subject=f"cluster {self.terms.name}", says=why)] if why else ()

    def _source(self, _status: Status) -> Sequence[Seen]:
        why = self.terms.source_trouble()
        return [Seen(subject=f"cluster {self.terms.name}", says=why)] if why else ()

    def _exceptions(self, now: float) -> Sequence[Seen]:
        declared = (each.declared for each in self.terms.namespaces() if each.declared)
        return ending_soon((each for one in declared for each in one.exceptions or ()), now)

    def _held(self) -> Sequence[Seen] | None:
        """Return the services of a followed environment that a rollback holds; None while its specs have errors."""
        found: list[Seen] = []
        for one in self.terms.namespaces():
            if one.declared is None or one.declared.wrong is not None:
                return None
            for own, revision in sorted(one.declared.pins.items()):
                key = shown_key(one.name, own)
                found.append(Seen(subject=key, service=key, says=f"it is held at revision {revision}"))
        return found

    def _drifted(self, _status: Status) -> Sequence[Seen]:
        return [
            Seen(subject=shown_key(one.name, key), service=shown_key(one.name, key), says=says)
            for one in self.terms.namespaces()
            for key, says in _changed_by_others(one.seen).items()
        ]


def _is_beginning(service: ServiceStatus) -> bool:
    """Whether a service starts for the first time: images and models are fetched, which may take long."""
    return service.state is ServiceState.STARTING and all(
        each.state is ReplicaState.STARTING and not each.reason for each in service.replicas
    )


def _failed(status: Status) -> Sequence[Seen]:
    failed = (each for each in status.services if each.state is ServiceState.FAILED)
    return [Seen(subject=each.service, service=each.service, says=each.reason or "") for each in failed]


def _unscheduled(status: Status) -> Sequence[Seen]:
    found: dict[str, Seen] = {}
    for service in status.services:
        for each in service.replicas:
            if (each.reason or "").startswith(_NOT_SCHEDULED) and not each.draining:
                says = f"{each.id}: {each.reason}"
                found.setdefault(service.service, Seen(subject=service.service, service=service.service, says=says))
    return [*found.values()]


def _changed_by_others(seen: Observed) -> Mapping[str, str]:
    """Return the fields that others have taken over, by service. Autoscalers do so on purpose."""
    found: dict[str, list[str]] = {}
    for each in seen.objects:
        for field, manager in each.drift:
            if each.service and manager not in AUTOSCALERS:
                found.setdefault(each.service, []).append(f"{each.key[1]} {each.key[3]}: {field} by {manager}")
    return {key: ", ".join(fields) for key, fields in found.items()}
