"""A small world without processes that carries out plans as control and an engine would."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from bateau.domain.replica import Replica, ReplicaState
from bateau.runtimes.local.rolling import next_steps
from bateau.runtimes.local.steps import Desired, Draining, Step


@dataclass
class Simulation:
    """Replicas by id, their requests in flight (None: the gateway does not answer), and a clock in seconds."""

    desired: dict[str, Desired] = field(default_factory=dict[str, Desired])
    replicas: dict[str, Replica] = field(default_factory=dict[str, Replica])
    in_flight: dict[str, int | None] = field(default_factory=dict[str, int | None])
    draining_since: dict[str, float] = field(default_factory=dict[str, float])
    now: float = 0.0

    @property
    def draining(self) -> dict[str, Draining]:
        return {
            id_: Draining(seconds=self.now - since, in_flight=self.in_flight.get(id_, 0))
            for id_, since in self.draining_since.items()
        }

    def plan(self) -> tuple[Step, ...]:
        return next_steps(self.desired.values(), list(self.replicas.values()), self.draining)

    def carry_out(self, steps: Iterable[Step]) -> None:
        for step in steps:
            if step.act == "start":
                assert step.replica not in self.replicas, f"{step} gives an id a second time"
                self.replicas[step.replica] = Replica(
                    id=step.replica,
                    service=step.service,
                    revision=self.desired[step.service].revision,
                    state=ReplicaState.STARTING,
                    pid=1,
                    drain_timeout_s=self.desired[step.service].drain_timeout_s,
                )
            elif step.act == "drain":
                self.draining_since.setdefault(step.replica, self.now)
            elif step.act == "keep":
                self.draining_since.pop(step.replica)
            else:
                self.remove(step.replica)

    def move(self, replica: str, state: ReplicaState) -> None:
        self.replicas[replica] = replace(self.replicas[replica], state=state)

    def remove(self, replica: str) -> None:
        del self.replicas[replica]
        self.draining_since.pop(replica, None)
        self.in_flight.pop(replica, None)

    def serving(self, service: str) -> list[str]:
        """Return the replicas that take new requests."""
        return [
            replica.id
            for replica in self.replicas.values()
            if replica.service == service
            and replica.state is ReplicaState.READY
            and replica.id not in self.draining_since
        ]
