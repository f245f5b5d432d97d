"""Decide how many replicas each model with a `scale` has now: more with the load, fewer without, none while it sleeps.

Called by control.current_traffic, control.endpoints and control.loop. Requests for a sleeping model wait in the planes;
that they wait wakes it.

Invariant: the planes hold the requests for a model before its last replica drains, and until it has a replica again.
Held by tests/control/test_scaling.py::test_a_model_falls_asleep_only_after_the_gateway_holds_its_requests.
Invariant: an unknown load puts no model to sleep. Held by
tests/control/test_scaling.py::test_a_model_whose_load_is_unknown_stays_awake.
"""

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from bateau.control.path import model_source, runs_here
from bateau.control.room import Memory, ScaledModel
from bateau.control.saving import Saving
from bateau.domain.endpoint import Hold, Load, PlaneState
from bateau.domain.placement import ModelCapacity
from bateau.domain.release import Release
from bateau.domain.replica import Replica, ReplicaState
from bateau.domain.workload import Queue, Scale, Workload
from bateau.kit.json_value import object_at
from bateau.ports.clock import Clock

# Requests wait for a slot for this long before a replica is added: it takes some seconds until one is ready.
BUSY_S = 4.0
# A model that does not become ready sleeps again after this time and its `idleAfter`.
UNREADY_S = 60.0
WAIT_S_MIN = 0.1
_LOOK_S = 1.0
_PART = "generations"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sleep:
    """How the planes treat a model that may sleep, or could before: its generation, and the hold on its requests.

    `left` has the earlier generations that have sent requests to replicas that still run.
    """

    generation: int | None
    hold: Hold | None = None
    left: tuple[int | None, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What a decision depends on. `told`: the planes have accepted the traffic that follows from the last decision.

    `trouble` returns why a service cannot start, and `fetching` how far its model has been fetched; None if neither.
    `capacities` has the models whose files are here, and `refused` the services that cannot be placed.
    """

    replicas: Sequence[Replica]
    planes: PlaneState
    told: bool
    capacities: Mapping[str, ModelCapacity]
    refused: Collection[str]
    memory_bytes_total: Callable[[], int]
    trouble: Callable[[Workload], str | None]
    fetching: Callable[[Workload], str | None]


class Scaling:
    """The models with a `scale`, from one turn of the loop to the next."""

    def __init__(self, saving: Saving, clock: Clock) -> None:
        self._saving = saving
        self._clock = clock
        self._models: dict[str, ScaledModel] = {}
        self._generations: dict[str, int] = {}
        self._applied: dict[str, tuple[Workload, Workload]] = {}
        self._now = 0.0
        self._is_new = True  # whether nothing was followed yet
        self._published: dict[str, int | None] = {}  # the generations of all services when they were followed last
        self._left: dict[str, dict[int | None, frozenset[str]]] = {}
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
            known = before.get(service.key)
            if runs_here(service) and (scale := _scale(service, known)):
                present = replicas.get(service.key, [])
                self._models[service.key] = self._model(service, scale, known, present)
        self._is_new = False
        for model in self._models.values():
            self._note(model, seen.planes.load)
            self._fall_asleep(model, seen)
            self._call(model, seen.planes.asked)
        memory = Memory(
            release,
            replicas,
            models=self._models,
            capacities=seen.capacities,
            refused=seen.refused,
            total=seen.memory_bytes_total,
        )
        for model in sorted(self._models.values(), key=lambda each: each.called_at):
            if model.holds and model.called:
                self._wake(model, seen, memory)
            elif model.wanted and not model.holds:
                self._follow_load(model, seen, memory)
        self._settle(release, replicas)

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
        return any(
            model.wanted and (model.generation is not None or model.scale.max > 1) for model in self._models.values()
        )

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
        for model in self._models.values():
            if model.busy_since is not None:
                due.append(_LOOK_S)
            if model.calm_since is not None:
                due.append(model.calm_since + model.scale.idle_after - now)
            if model.generation is not None and not model.holds:
                due.append(model.active_at + model.scale.idle_after - now)
            if model.holds and (model.called or model.wanted):
                due.append(_LOOK_S)
        return max(_LOOK_S, min(due)) if due else None

    def _model(
        self, service: Workload, scale: Scale, known: ScaledModel | None, present: Sequence[Replica]
    ) -> ScaledModel:
        """Return the state of a model, under its current spec."""
        now = self._now
        if known is None:
            known = self._first(service, scale, present)
        known.service, known.scale, known.present = service, scale, present
        if scale.min and known.holds:  # it may no longer sleep, and requests wait until it is awake
            known.called, known.after = True, None
        elif scale.min:
            known.generation = None
        elif known.generation is None:
            known.generation, known.active_at = self._generations.setdefault(service.key, 0), now
        if known.wanted:
            known.wanted = min(max(known.wanted, scale.min), max(scale.min, scale.max))
        return known

    def _first(self, service: Workload, scale: Scale, present: Sequence[Replica]) -> ScaledModel:
        """Return the state of a model that was not followed before."""
        now, generation = self._now, None
        if not scale.min:
            # A gateway that has asked for a generation does not ask for it again once it was removed.
            known = self._generations.get(service.key)
            generation = 0 if known is None else known if self._is_new or present else known + 1
        # An earlier control plane has started the replicas; if none is ready, requests may wait for them.
        holds = not scale.min and not any(each.state is ReplicaState.READY for each in present)
        return ScaledModel(
            service,
            scale,
            wanted=max(1, len(present)) if present else scale.min,
            generation=generation,
            holds=holds,
            called=holds and bool(present),
            called_at=now,
            awake_at=now,
            active_at=now,
        )

    def _note(self, model: ScaledModel, load: Load | None) -> None:
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

    def _fall_asleep(self, model: ScaledModel, seen: Seen) -> None:
        if model.generation is None:
            return
        if model.holds and model.wanted and (not model.called or model.after) and seen.told:
            model.wanted = 0
        idle_s = model.seen_at - model.active_at
        # Requests that are refused because it does not start yet are not seen.
        patience_s = model.scale.idle_after + (0.0 if model.ready else UNREADY_S)
        if not model.holds and model.in_flight == 0 and idle_s >= patience_s:
            self._hold(model, f"it sleeps: no request for {idle_s:.0f} s")

    def _hold(self, model: ScaledModel, says: str, *, after: str | None = None) -> None:
        """Have the planes hold the requests of a model from now on. Its replicas drain once they do."""
        if model.generation is None:
            return
        model.generation += 1
        model.holds, model.called, model.says, model.after = True, False, says, after

    def _call(self, model: ScaledModel, asked: Mapping[str, int]) -> None:
        """Note that requests wait for a model."""
        generation = asked.get(model.key)
        if model.holds and not model.called and generation is not None and generation >= (model.generation or 0):
            model.generation = generation
            model.called, model.called_at = True, self._now

    def _wake(self, model: ScaledModel, seen: Seen, memory: Memory) -> None:
        """Take the next step towards a ready replica; the hold ends with it, or when it is known why there is none."""
        # A failure of an earlier time is tried again first.
        trouble = seen.trouble(model.service) if model.called_at < self._now else None
        if model.after and (other := self._models.get(model.after)) and other.holds and other.called:
            model.says = f"it waits for its turn: it has made room for {model.after}"
            return
        model.after = None
        if model.ready or trouble:
            model.wanted = max(1, model.wanted)
            model.holds = model.called = False
            model.awake_at = model.active_at = self._now
            model.says = ""
            for each in self._models.values():
                each.after = None if each.after == model.key else each.after
        elif model_source(model.service) and model.key not in seen.capacities:
            progress = seen.fetching(model.service)
            model.says = f"its model is being fetched{f': {progress}' if progress else ''}"
        elif not model.wanted and (short := memory.short_of(model)):
            model.says = short
            if room := memory.makes_room(model, self._now):
                self._hold(room, f"it sleeps: it made room for {model.key}", after=model.key)
                model.says = f"it waits for memory, and {room.key} makes room"
        else:
            model.wanted = max(1, model.wanted)
            model.says = "it starts"

    def _follow_load(self, model: ScaledModel, seen: Seen, memory: Memory) -> None:
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

    def _settle(self, release: Release, replicas: Mapping[str, Sequence[Replica]]) -> None:
        """Store the generations, and what the planes should know."""
        published: dict[str, int | None] = {}
        left: dict[str, dict[int | None, frozenset[str]]] = {}
        for service in release.services:
            key, model = service.key, self._models.get(service.key)
            generation = published[key] = model.generation if model else None
            running = frozenset(each.id for each in replicas.get(key, ()))
            known = {number: ids for number, ids in self._left.get(key, {}).items() if ids & running}
            if running and (former := self._published.get(key, generation)) != generation:
                known[former] = running
            known.pop(generation, None)
            if known:
                left[key] = known
        self._published, self._left = published, left
        sleeps = {
            key: _sleep(self._models.get(key), generation, tuple(left.get(key, ())))
            for key, generation in published.items()
            if generation is not None or key in left
        }
        self.sleeps = self.sleeps if sleeps == self.sleeps else sleeps
        used = {key: number for key, number in published.items() if number is not None}
        if (generations := {**self._generations, **used}) != self._generations:
            self._generations = generations
            self._saving.save({_PART: dict(generations)})


def _scale(service: Workload, known: ScaledModel | None) -> Scale | None:
    """Return how a service is scaled: requests that wait for one that no longer is are still to be answered."""
    if service.scale is None and known and known.holds and service.replicas:
        return Scale(min=service.replicas, max=service.replicas)
    return service.scale


def _sleep(model: ScaledModel | None, generation: int | None, left: tuple[int | None, ...]) -> Sleep:
    if model is None or not model.holds:
        return Sleep(generation=generation, left=left)
    queue = model.scale.queue or Queue()
    # Without a request that waits for a moment, nothing would wake it.
    hold = Hold(requests_max=max(1, queue.max), wait_s=max(WAIT_S_MIN, queue.wait), says=model.says or "it sleeps")
    return Sleep(generation=generation, hold=hold, left=left)
