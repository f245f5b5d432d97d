"""Decide how many replicas each model with a `scale` has now: more with the load, fewer without, none while it sleeps.

Called by control.current_traffic, control.endpoints and control.loop. Requests for a sleeping model wait in the planes;
that they wait wakes it.

Invariant: the planes hold the requests for a model before its last replica drains, and until it has a replica again.
Held by tests/control/test_scaling.py::test_a_model_falls_asleep_only_after_the_gateway_holds_its_requests.
Invariant: an unknown load puts no model to sleep. Held by
tests/control/test_scaling.py::test_a_model_whose_load_is_unknown_stays_awake.
Invariant: models that wake need no more memory than the machine has. Held by
tests/control/test_scaling.py::test_two_models_that_fit_only_one_at_a_time_both_wake.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from bateau.control.path import model_source, runs_here
from bateau.control.saving import Saving
from bateau.domain.endpoint import Hold, Load, PlaneState
from bateau.domain.placement import ModelCapacity
from bateau.domain.release import Release
from bateau.domain.replica import Replica, ReplicaState
from bateau.domain.workload import Queue, Scale, Workload
from bateau.kit.json_value import object_at
from bateau.kit.quantity import approximate_bytes
from bateau.ports.clock import Clock

# Requests wait for a slot for this long before a replica is added: it takes some seconds until one is ready.
BUSY_S = 4.0
# A model that is in use makes room for another one no earlier than this after it woke up.
TURN_S = 10.0
# The load of a model is known this long after it has woken up.
SEEN_S = 1.0
WAIT_S_MIN = 0.1
_LOOK_S = 1.0
_PART = "generations"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sleep:
    """How the planes treat a model that may sleep: its generation, and the hold on its requests, if any.

    `left` has the earlier generations that have sent requests to replicas that still run.
    """

    generation: int
    hold: Hold | None = None
    left: tuple[int | None, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What a decision depends on. `told`: the planes have accepted the traffic that follows from the last decision.

    `trouble` returns why a service cannot start, and `fetching` how far its model has been fetched; None if neither.
    `capacities` has the models whose files are here.
    """

    replicas: Sequence[Replica]
    planes: PlaneState
    told: bool
    capacities: Mapping[str, ModelCapacity]
    memory_bytes_total: int
    trouble: Callable[[Workload], str | None]
    fetching: Callable[[Workload], str | None]


@dataclass(slots=True)
class _Model:
    """One model. Times are in monotonic seconds. `wanted`: the replicas that should run. `called`: requests wait.

    `left` has the replicas that each earlier generation has sent requests to.
    """

    service: Workload
    scale: Scale
    wanted: int
    generation: int | None
    left: dict[int | None, frozenset[str]] = field(default_factory=dict[int | None, frozenset[str]])
    holds: bool = False
    called: bool = False
    called_at: float = 0.0
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
        return self.service.key

    @property
    def ready(self) -> int:
        return sum(each.state is ReplicaState.READY for each in self.present)

    @property
    def leaves(self) -> bool:
        """Whether it is about to free the memory of its replicas."""
        return self.holds and not self.called and bool(self.present)

    def is_idle(self) -> bool:
        """Whether it had no request when its load was seen last, after it had time to get some."""
        return self.in_flight == 0 and self.seen_at >= self.active_at + SEEN_S


class Scaling:
    """The models with a `scale`, from one turn of the loop to the next."""

    def __init__(self, saving: Saving, clock: Clock) -> None:
        self._saving = saving
        self._clock = clock
        self._models: dict[str, _Model] = {}
        self._generations: dict[str, int] = {}
        self._applied: dict[str, tuple[Workload, Workload]] = {}
        self._now = 0.0
        self.sleeps: Mapping[str, Sleep] = {}  # by service key; the same object while nothing changes

    def remember(self) -> None:
        """Restore the generations that an earlier control plane has used."""
        saved = object_at(self._saving.load(), _PART)
        self._generations = {key: number for key, number in saved.items() if type(number) is int and number >= 0}

    def follow(self, release: Release, seen: Seen) -> None:
        """Decide, for every model of a release that has a `scale`. The services are those of the specs."""
        replicas: dict[str, list[Replica]] = {}
        for replica in seen.replicas:
            replicas.setdefault(replica.service, []).append(replica)
        before, self._models, self._now = self._models, {}, self._clock.monotonic()
        for service in release.services:
            if service.scale and runs_here(service):
                present = replicas.get(service.key, [])
                self._models[service.key] = self._model(service, service.scale, before.get(service.key), present)
        for model in self._models.values():
            self._note(model, seen.planes.load)
            self._fall_asleep(model, seen)
            self._call(model, seen.planes.asked)
        memory = _Memory(release, seen, self._models, replicas)
        for model in sorted(self._models.values(), key=lambda each: each.called_at):
            if model.holds and model.called:
                self._wake(model, seen, memory)
            elif model.wanted and not model.holds:
                self._follow_load(model, seen, memory)
        self._settle()

    def applied(self, release: Release) -> Release:
        """Return a release with the number of replicas that each of these models has now."""
        services = tuple(map(self._with_replicas, release.services))
        if all(made is service for made, service in zip(services, release.services, strict=True)):
            return release
        return replace(release, services=services)

    @property
    def asleep(self) -> frozenset[str]:
        """The models that sleep, and that no request waits for."""
        return frozenset(key for key, model in self._models.items() if model.holds and not model.called)

    @property
    def counts(self) -> tuple[tuple[str, int], ...]:
        """How many replicas each of these models should have."""
        return tuple((key, model.wanted) for key, model in self._models.items())

    @property
    def measures(self) -> bool:
        """Whether a decision depends on the load."""
        return any(model.wanted and (model.generation is not None or model.scale.max > 1) for model in self._all)

    def says(self, key: str) -> str | None:
        """Return why a model has as many replicas as it has; None if there is no reason to report."""
        model = self._models.get(key)
        return (model.says or None) if model else None

    def is_called(self, key: str) -> bool:
        """Whether requests wait for a model that is about to wake up."""
        model = self._models.get(key)
        return bool(model and model.holds and model.called)

    def due_in(self) -> float | None:
        """Return the seconds until the next decision that depends on time; None if there is none."""
        now, due = self._clock.monotonic(), list[float]()
        for model in self._all:
            if model.busy_since is not None:
                due.append(_LOOK_S)
            if model.calm_since is not None:
                due.append(model.calm_since + model.scale.idle_after - now)
            if model.generation is not None and not model.holds:
                due.append(model.active_at + model.scale.idle_after - now)
            if model.holds and (model.called or model.wanted):
                due.append(_LOOK_S)
        return max(_LOOK_S, min(due)) if due else None

    @property
    def _all(self) -> Sequence[_Model]:
        return list(self._models.values())

    def _model(self, service: Workload, scale: Scale, known: _Model | None, present: Sequence[Replica]) -> _Model:
        """Return the state of a model, under its current spec."""
        now = self._now
        most = max(scale.min, scale.max)
        if known is None:
            known = _Model(service, scale, wanted=scale.min, generation=None, awake_at=now, active_at=now)
            if present:  # an earlier control plane has started them
                known.wanted = max(1, len(present))
            known.holds = not known.wanted
        known.service, known.scale, known.present = service, scale, present
        running = {each.id for each in present}
        known.left = {generation: ids for generation, ids in known.left.items() if ids & running}
        if scale.min:
            known.generation, known.holds, known.called = None, False, False
        elif known.generation is None:
            known.left[None] = frozenset(running)
            known.generation, known.active_at = self._generations.setdefault(service.key, 0), now
        if known.wanted or scale.min:
            known.wanted = min(max(known.wanted, scale.min), most)
        return known

    def _note(self, model: _Model, load: Load | None) -> None:
        """Take the load of a model, and when it was in use last."""
        if load is None:
            model.in_flight = None
            return
        model.in_flight = sum(load.in_flight.get(each.id, 0) for each in model.present)
        model.seen_at = load.seen_at
        taken = {each.id: load.taken.get(each.id, 0) for each in model.present}
        if model.in_flight or taken != model.taken:
            model.active_at = max(model.active_at, load.seen_at)
        model.taken = taken

    def _fall_asleep(self, model: _Model, seen: Seen) -> None:
        if model.generation is None:
            return
        if model.holds and model.wanted and not model.called and seen.told:
            model.wanted = 0
        idle_s = model.seen_at - model.active_at
        if not model.holds and model.in_flight == 0 and idle_s >= model.scale.idle_after:
            self._hold(model, f"it sleeps: no request for {idle_s:.0f} s")

    def _hold(self, model: _Model, says: str) -> None:
        """Have the planes hold the requests of a model from now on. Its replicas drain once they do."""
        if model.generation is None:
            return
        model.left[model.generation] = frozenset(each.id for each in model.present)
        model.generation += 1
        model.holds, model.called, model.says = True, False, says

    def _call(self, model: _Model, asked: Mapping[str, int]) -> None:
        """Note that requests wait for a model."""
        generation = asked.get(model.key)
        if model.holds and not model.called and generation is not None and generation >= (model.generation or 0):
            model.generation = generation
            model.called, model.called_at = True, self._now

    def _wake(self, model: _Model, seen: Seen, memory: "_Memory") -> None:
        """Take the next step towards a ready replica; the hold ends with it, or when it is known why there is none."""
        # A failure of an earlier time is tried again first.
        trouble = seen.trouble(model.service) if model.called_at < self._now else None
        if model.ready or trouble:
            model.wanted = max(1, model.wanted)
            model.holds = model.called = False
            model.awake_at = model.active_at = self._now
            model.says = ""
        elif model_source(model.service) and model.key not in seen.capacities:
            progress = seen.fetching(model.service)
            model.says = f"its model is being fetched{f': {progress}' if progress else ''}"
        elif not model.wanted and (short := memory.short_of(model)):
            model.says = short
            if room := memory.makes_room(model, self._now):
                self._hold(room, f"it sleeps: it made room for {model.key}")
                model.says = f"it waits for memory, and {room.key} makes room"
        else:
            model.wanted = max(1, model.wanted)
            model.says = "it starts"

    def _follow_load(self, model: _Model, seen: Seen, memory: "_Memory") -> None:
        """Add a replica while requests wait for a slot, and remove one that was not needed for a while."""
        capacity, now = seen.capacities.get(model.key), self._now
        if model.in_flight is None or capacity is None or model.ready < model.wanted:
            model.busy_since = None
            return
        slots = capacity.slots
        busy = model.in_flight > slots * model.wanted
        model.busy_since = (model.busy_since or now) if busy and model.wanted < model.scale.max else None
        needed = max(1, model.scale.min, math.ceil(model.in_flight / slots))
        model.calm_since = (model.calm_since or now) if needed < model.wanted else None
        if model.busy_since is not None and now - model.busy_since >= BUSY_S:
            if short := memory.short_of(model):
                model.says = f"{model.in_flight} requests for {slots * model.wanted} slots, but {short}"
                return
            model.says = f"{model.in_flight} requests for {slots * model.wanted} slots: {model.wanted + 1} replicas"
            model.wanted, model.busy_since = model.wanted + 1, None
        elif model.calm_since is not None and now - model.calm_since >= model.scale.idle_after:
            model.wanted, model.calm_since = model.wanted - 1, now
            model.says = f"{model.in_flight} requests need no more than {needed} of {model.wanted + 1} replicas"

    def _with_replicas(self, service: Workload) -> Workload:
        model = self._models.get(service.key)
        wanted = model.wanted if model else service.replicas
        if wanted == service.replicas:
            return service
        known = self._applied.get(service.key)
        if known is None or known[0] is not service or known[1].replicas != wanted:
            # The same object as long as nothing changes: units are made again for a new one.
            known = self._applied[service.key] = (service, replace(service, replicas=wanted))
        return known[1]

    def _settle(self) -> None:
        """Store the generations, and what the planes should know."""
        sleeps = {m.key: _sleep(m, m.generation) for m in self._all if m.generation is not None}
        self.sleeps = self.sleeps if sleeps == self.sleeps else sleeps
        generations = {**self._generations, **{key: each.generation for key, each in sleeps.items()}}
        if generations != self._generations:
            self._generations = generations
            self._saving.save({_PART: dict(generations)})


def _sleep(model: _Model, generation: int) -> Sleep:
    queue = model.scale.queue or Queue()
    if not model.holds:
        return Sleep(generation=generation, left=tuple(model.left))
    # Without a request that waits for a moment, nothing would wake it.
    hold = Hold(requests_max=max(1, queue.max), wait_s=max(WAIT_S_MIN, queue.wait), says=model.says or "it sleeps")
    return Sleep(generation=generation, hold=hold, left=tuple(model.left))


class _Memory:
    """The memory that models need on this machine, by estimate; a model without an estimate counts as 0."""

    def __init__(
        self, release: Release, seen: Seen, models: Mapping[str, _Model], replicas: Mapping[str, Sequence[Replica]]
    ) -> None:
        self._models = models
        self._capacities = seen.capacities
        self._total = seen.memory_bytes_total
        self._present: dict[str, int] = {s.key: len(replicas.get(s.key, ())) for s in release.services}
        self._wanted: dict[str, int] = {s.key: s.replicas for s in release.services if s.key not in models}

    def short_of(self, model: _Model) -> str | None:
        """Return why one more replica of a model has to wait for memory; None if it fits."""
        used = sum(self._of(key) * self._count(key) for key in self._present)
        kept = sum(each.state is not ReplicaState.STOPPING for each in model.present)
        needs = self._of(model.key) * max(0, model.wanted + 1 - kept)
        if used + needs <= self._total:
            return None
        free = approximate_bytes(max(0, self._total - used))
        return f"it waits for memory: it needs {approximate_bytes(needs)}, and {free} are free"

    def makes_room(self, waits: _Model, now: float) -> _Model | None:
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

    def _count(self, key: str) -> int:
        model = self._models.get(key)
        wanted = model.wanted if model else self._wanted.get(key, 0)
        return max(wanted, self._present[key])
