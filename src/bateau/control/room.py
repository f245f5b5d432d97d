"""Which model makes room for one that wakes up, and whether one more replica fits into the memory of the machine.

Called by control.scaling.

Invariant: models that wake need no more memory than the machine has; one that was refused needs none. Held by
tests/control/test_scaling.py::test_two_models_that_fit_only_one_at_a_time_both_wake and
tests/control/test_scaling.py::test_a_model_that_cannot_fit_needs_no_memory.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field

from bateau.domain.placement import ModelCapacity
from bateau.domain.release import Release
from bateau.domain.replica import Replica, ReplicaState
from bateau.domain.workload import Scale, Workload
from bateau.kit.quantity import approximate_bytes

# A model that is in use makes room for another one no earlier than this after it woke up.
TURN_S = 10.0
# The load of a model is known this long after it has woken up.
SEEN_S = 1.0


@dataclass(slots=True)
class ScaledModel:
    """One model. Times are in monotonic seconds. `wanted`: the replicas that should run. `called`: requests wait.

    `after` is the model that it has made room for: it does not wake up before that one had its turn.
    """

    service: Workload
    scale: Scale
    wanted: int
    generation: int | None
    holds: bool = False
    called: bool = False
    called_at: float = 0.0
    after: str | None = None
    awake_at: float = 0.0
    active_at: float = 0.0
    busy_since: float | None = None
    calm_since: float | None = None
    in_flight: int | None = None
    seen_at: float = 0.0
    taken: Mapping[str, int] = field(default_factory=dict[str, int])
    present: Sequence[Replica] = ()
    says: str = ""

    @property
    def key(self) -> str:
        """The key of its service."""
        return self.service.key

    @property
    def ready(self) -> int:
        """How many of its replicas are ready."""
        return sum(each.state is ReplicaState.READY for each in self.present)

    @property
    def leaves(self) -> bool:
        """Whether it is about to free the memory of its replicas."""
        return self.holds and (not self.called or self.after is not None) and bool(self.present)

    def is_idle(self) -> bool:
        """Whether it had no request when its load was seen last, after it had time to get some."""
        return self.in_flight == 0 and self.seen_at >= self.active_at + SEEN_S


class Memory:
    """The memory that models need on this machine, by estimate; a model without an estimate counts as 0."""

    def __init__(
        self,
        release: Release,
        replicas: Mapping[str, Sequence[Replica]],
        *,
        models: Mapping[str, ScaledModel],
        capacities: Mapping[str, ModelCapacity],
        refused: Collection[str],
        total: Callable[[], int],
    ) -> None:
        self._models = models
        self._capacities = capacities
        self._total = total
        self._refused = refused
        self._release = release
        self._replicas = replicas

    def short_of(self, model: ScaledModel) -> str | None:
        """Return why one more replica of a model has to wait for memory; None if it fits."""
        used, total = sum(map(self._used, self._release.services)), self._total()
        kept = sum(each.state is not ReplicaState.STOPPING for each in model.present)
        needs = self._of(model.key) * max(0, model.wanted + 1 - kept)
        if used + needs <= total:
            return None
        free = approximate_bytes(max(0, total - used))
        return f"it waits for memory: it needs {approximate_bytes(needs)}, and {free} are free"

    def makes_room(self, waits: ScaledModel, now: float) -> ScaledModel | None:
        """Return the model that should sleep so that another one fits; None if one does already, or if none can."""
        others = [each for each in self._models.values() if each is not waits]
        if any(each.leaves for each in others):
            return None
        awake = [each for each in others if each.generation is not None and not each.holds and each.present]
        awake = [each for each in awake if self._of(each.key)]
        if idle := [each for each in awake if each.is_idle()]:
            return min(idle, key=lambda each: each.active_at)
        turn_over = [each for each in awake if now - max(each.awake_at, waits.called_at) >= TURN_S]
        return min(turn_over, key=lambda each: each.awake_at, default=None)

    def _of(self, key: str) -> int:
        capacity = self._capacities.get(key)
        return (capacity.memory_bytes or 0) if capacity else 0

    def _used(self, service: Workload) -> int:
        model, present = self._models.get(service.key), len(self._replicas.get(service.key, ()))
        wanted = model.wanted if model else service.replicas
        return self._of(service.key) * (present if service.key in self._refused else max(wanted, present))
