"""Assign slots, context and threads to every model, and determine before the first request whether it fits.

Called by control.walk, place.room and wiring.offered_models. It runs after hydrate and before plan.

Invariant: a model that does not fit is not started, and blocks no other model; the message has both figures. Held by
tests/place/test_capacity.py.
Refused: silently reducing context or slots until the model fits; its author would learn it from a truncated answer.
"""

from collections.abc import Mapping

from bateau.domain.inventory import Machine
from bateau.domain.model_file import ModelFile
from bateau.domain.placement import ModelCapacity, Placement
from bateau.domain.problem import Problem, Severity
from bateau.domain.release import Release
from bateau.domain.workload import ModelServer, Workload
from bateau.kit.quantity import approximate_bytes

CONTEXT_DEFAULT_MAX = 4096
CONTEXT_UNKNOWN = 2048
# Compute buffers, tokenizer, HTTP threads and Python of one llama.cpp replica, measured with SmolLM2-135M; larger
# models need larger buffers, hence the share of the weights.
OVERHEAD_BYTES = 200 * 2**20
OVERHEAD_SHARE = 0.1


def place(release: Release, files: Mapping[str, ModelFile], machine: Machine) -> Placement:
    """Return the capacity of every llama.cpp model whose file is on this machine (`files` by service key)."""
    capacities: dict[str, ModelCapacity] = {}
    refused: dict[str, Problem] = {}
    warnings: list[Problem] = []
    needed_bytes = 0
    for service in release.services:
        warnings += _for_clusters(service)
        file = files.get(service.key)
        if not isinstance(service.runs, ModelServer) or file is None:
            continue
        capacity = _capacity(service, service.runs, file, machine)
        capacities[service.key] = capacity
        warnings += _context_warnings(service, service.runs, file)
        if problem := _does_not_fit(service, capacity, machine):
            refused[service.key] = problem
        else:
            needed_bytes += (capacity.memory_bytes or 0) * service.replicas
    if needed_bytes > machine.memory_bytes_total:
        says = (
            f"all models together need about {approximate_bytes(needed_bytes)}, but this machine has "
            f"{approximate_bytes(machine.memory_bytes_total)}"
        )
        hint = "lower replicas, parallel or contextLength"
        warnings.append(Problem(where=None, says=says, hint=hint, severity=Severity.WARNING))
    return Placement(capacities=capacities, refused=refused, problems=tuple(warnings))


def _for_clusters(service: Workload) -> list[Problem]:
    """Warn about fields that have no effect on one machine."""
    return [
        Problem(
            where=service.positions[f"spec.{name}"],
            says=f"spec.{name} of {service.key} applies to clusters only and has no effect on this machine",
            severity=Severity.WARNING,
        )
        for name in ("accelerator",)
        if f"spec.{name}" in service.positions
    ]


def _capacity(service: Workload, spec: ModelServer, file: ModelFile, machine: Machine) -> ModelCapacity:
    trained = file.header.context_length_trained
    context = spec.context_length or min(trained or CONTEXT_UNKNOWN, CONTEXT_DEFAULT_MAX)
    # Threads of llama.cpp wait for each other by spinning: with more threads than cores, all replicas become slow.
    most = max(service.scale.min, service.scale.max) if service.scale else service.replicas
    shared = machine.cores // max(1, most)
    threads = spec.threads or max(1, int(service.resources.cpu or shared))
    cache = file.header.kv_bytes_per_token
    memory = None
    if cache is not None:
        weights = file.size_bytes
        memory = int(weights + weights * OVERHEAD_SHARE + cache * context * spec.parallel + OVERHEAD_BYTES)
    return ModelCapacity(slots=spec.parallel, context=context, threads=threads, memory_bytes=memory)


def _context_warnings(service: Workload, spec: ModelServer, file: ModelFile) -> list[Problem]:
    trained = file.header.context_length_trained
    if not spec.context_length or not trained or spec.context_length <= trained:
        return []
    return [
        Problem(
            where=service.positions.get("spec.contextLength"),
            says=f"contextLength is {spec.context_length}, but {service.name} was trained for {trained} tokens",
            hint=f"answers beyond {trained} tokens degrade; set contextLength to at most {trained}",
            severity=Severity.WARNING,
        )
    ]


def _does_not_fit(service: Workload, capacity: ModelCapacity, machine: Machine) -> Problem | None:
    """Return why the replicas do not fit on this machine: the first limit that they exceed."""
    one = capacity.memory_bytes
    if one is None:
        return None
    where = service.positions.get("spec.replicas") or service.positions.get("spec.source") or service.position
    shape = f"{capacity.slots} slots of {capacity.context:,} tokens"
    here = f"this machine has {approximate_bytes(machine.memory_bytes_total)}"
    limit = service.resources.memory
    if one > machine.memory_bytes_total:
        says = f"a replica of {service.name} needs about {approximate_bytes(one)} ({shape}), but {here}"
        hint = "lower contextLength or parallel, or choose a smaller quantization"
    elif limit is not None and one > limit:
        where = service.positions.get("spec.resources.memory") or where
        says = f"a replica of {service.name} needs about {approximate_bytes(one)} ({shape}), but resources.memory is "
        says += approximate_bytes(limit)
        hint = f"set resources.memory to {_written(one)} or more, or lower contextLength or parallel"
    elif one * service.replicas > machine.memory_bytes_total:
        every = approximate_bytes(one * service.replicas)
        says = f"{service.replicas} replicas of {service.name} need about {every}, but {here}"
        hint = f"set replicas to {machine.memory_bytes_total // one} or less"
    else:
        return None
    return Problem(where=where, says=says, hint=hint)


def _written(size: int) -> str:
    """Return a size in the format of a spec: whole MiB, rounded up."""
    return f"{-(-size // 2**20)}Mi"
