"""Plan, apply and observe an environment on its clusters.

Called by cli.
"""

import os
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from hashlib import sha256
from pathlib import Path
from typing import Final

from bateau.control.comparison import difference, taken
from bateau.control.delivery import Rendered
from bateau.control.destinations import Destination, destinations, units_of
from bateau.control.rollout import Outcome, roll_out
from bateau.domain.change import Delivery
from bateau.domain.errors import ObjectRefused
from bateau.domain.replica import ReplicaState
from bateau.ports.runtime import Observed
from bateau.runtimes.kubernetes import Access, ApiServer, KubernetesRuntime, access_in_pod, access_of, kubeconfig_files
from bateau.runtimes.kubernetes.looking import look
from bateau.runtimes.kubernetes.present import present
from bateau.sources.spec_files import SpecFiles
from bateau.specs import read
from bateau.wiring.delivery import rules_of
from bateau.wiring.local import SystemClock
from bateau.wiring.question import Question

_LABEL_MAX: Final = 63


def clusters_of(question: Question) -> tuple[Destination, ...]:
    """Return the clusters of an environment; none if it runs on this machine. Raises ControlError."""
    reading = read(SpecFiles(question.directory, default={}).read())
    return destinations(reading, question.environment, namespace=question.namespace)


async def planned_on(question: Question, place: Destination, made: Rendered, *, confirmed: int | None) -> Delivery:
    """Return the changes that an apply makes on a cluster. Raises ClusterError.

    `confirmed` is the confirmed number of removals.
    """
    async with _api(place) as api:
        there = await present(api, made.manifests, owner=owner_of(question, place), namespace=place.namespace)
    reading = read(made.texts)
    observed = taken(
        there,
        f"cluster {place.name}",
        reading,
        rules_of(question),
        environment=question.environment,
        variables=os.environ,
    )
    return difference(made, observed, environment=question.environment, confirmed=confirmed)


async def apply_on(
    question: Question,
    place: Destination,
    made: Rendered,
    *,
    timeout_s: float,
    force: bool,
    told: Callable[[Observed], None],
) -> Outcome:
    """Apply an environment to a cluster, and wait until it is healthy. `told` gets every new state.

    With `force`, fields that another manager holds are taken over.

    Raises ClusterError if the kubeconfig names no usable cluster.
    """
    async with _api(place) as api:
        clock = SystemClock()
        owner = owner_of(question, place)
        # A person has seen the plan: what others hold is taken over only if they say so.
        runtime = KubernetesRuntime(api, clock, owner=owner, namespace=place.namespace, drift="report", force=force)
        try:
            return await roll_out(runtime, units_of(made), clock, timeout_s=timeout_s, told=told)
        finally:
            await runtime.close()


async def observed_on(question: Question, place: Destination) -> Observed:
    """Return the current state of an environment on a cluster. Raises ClusterError."""
    async with _api(place) as api:
        owner = owner_of(question, place)
        return await look(api, SystemClock(), owner=owner, namespace=place.namespace)


async def logs_on(question: Question, place: Destination, service: str, *, lines: int) -> Mapping[str, str]:
    """Return the last lines of each pod of a service, by pod. Raises ClusterError.

    The lines of a pod whose container has just died are those of the container before.
    """
    async with _api(place) as api:
        seen = await look(api, SystemClock(), owner=owner_of(question, place), namespace=place.namespace)
        found: dict[str, str] = {}
        for replica in seen.replicas:
            if replica.service == service:
                namespace, _, pod = replica.id.partition("/")
                previous = replica.state is ReplicaState.BACKOFF and replica.restarts > 0
                try:
                    text = await api.log(namespace, pod, lines=lines, previous=previous)
                except ObjectRefused as error:  # such as a container that has not started
                    text = error.message
                found[replica.id] = text or f"no output yet: {replica.reason or replica.state.value}"
        return found


def owner_of(question: Question, place: Destination) -> str:
    """Return the value of the label that says which objects are an environment's, in at most 63 characters.

    The namespace is in it, because the environments of two repositories may have one name.
    """
    name = f"{place.namespace}.{question.environment or 'default'}"
    if len(name) <= _LABEL_MAX:
        return name
    return f"{name[: _LABEL_MAX - 11].rstrip('.-')}.{sha256(name.encode()).hexdigest()[:10]}"


@asynccontextmanager
async def _api(place: Destination) -> AsyncGenerator[ApiServer]:
    api = ApiServer(_access(place))
    try:
        yield api
    finally:
        await api.close()


def _access(place: Destination) -> Access:
    if place.spec.in_cluster:
        return access_in_pod(os.environ)
    named = place.spec.kubeconfig
    files: Sequence[Path] = [Path(named).expanduser()] if named else kubeconfig_files(os.environ)
    return access_of(files, place.spec.context or place.name)
