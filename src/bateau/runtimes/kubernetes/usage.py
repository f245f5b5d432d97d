"""The CPU and memory that pods use, from metrics.k8s.io.

Called by wiring.clusters and wiring.pod_uses. Needs read rights only. Source: the resource metrics API (KEP-650),
version v1beta1.

Invariant: a pod without a figure makes its service's figure smaller, and is counted in `pods` but not in `measured`;
without any figure it is None. Held by tests/runtimes/kubernetes/test_usage.py.
Invariant: a figure that is older than two minutes is not one of now. Held by
tests/runtimes/kubernetes/test_usage.py::test_an_old_figure_is_none.
"""

import asyncio
import contextlib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final, TypeVar

from bateau.domain.errors import ClusterError
from bateau.domain.usage import Usage
from bateau.kit.json_value import Json, JsonObject, array_at, object_at, text_at
from bateau.kit.quantity import QuantityError, parse_bytes, parse_cores
from bateau.kit.rfc3339 import seconds_of
from bateau.runtimes.kubernetes.api import ApiServer, Resource
from bateau.runtimes.kubernetes.requests import NotFound

_METRICS = Resource("/apis/metrics.k8s.io/v1beta1", "pods", namespaced=True)
_PODS = Resource("/api/v1", "pods", namespaced=True)
_OLD_S: Final = 120.0  # metrics-server measures every 15 s, older ones every 60 s
_TOGETHER_MAX: Final = 12  # with more namespaces, one list of all pods is cheaper
Amount = TypeVar("Amount", int, float)


@dataclass(frozen=True, slots=True, kw_only=True)
class PodUse:
    """What the containers of a pod use: cores on average over some seconds, and the memory of their working sets."""

    cpu_cores: float
    memory_bytes: int


async def pod_uses(api: ApiServer, namespaces: Collection[str]) -> Mapping[str, PodUse]:
    """Return the use of the pods in namespaces, by "namespace/name"; pods without a figure are left out.

    Raises ClusterError, also where the cluster does not serve metrics.k8s.io.
    """
    await _check_served(api)

    def kept(tree: JsonObject) -> tuple[str, PodUse] | None:
        when_s = seconds_of(text_at(tree, "timestamp"))
        if when_s is None or api.requests.now().timestamp() - when_s > _OLD_S:
            return None
        used: list[JsonObject] = [{"containers": [object_at(each, "usage") for each in array_at(tree, "containers")]}]
        name = f"{text_at(tree, 'metadata', 'namespace')}/{text_at(tree, 'metadata', 'name')}"
        cores, memory = sum(_amounts(used, "cpu", parse_cores)), sum(_amounts(used, "memory", parse_bytes))
        return name, PodUse(cpu_cores=cores, memory_bytes=memory)

    asked = sorted(namespaces) if len(namespaces) <= _TOGETHER_MAX else [""]
    try:
        pages = await asyncio.gather(*(api.list(_METRICS, kept, namespace=each) for each in asked))
    except NotFound as error:
        raise _not_served(api) from error  # it was served, and has gone
    return dict(each for found, _ in pages for each in found if each)


async def usage(api: ApiServer, pods: Mapping[str, str]) -> tuple[Usage, ...]:
    """Return the use of each service; `pods` has the service of each pod by "namespace/name".

    Raises ClusterError, also where the cluster does not serve metrics.k8s.io.
    """
    await _check_served(api)
    namespaces = sorted({each.partition("/")[0] for each in pods})
    used, requested = await asyncio.gather(
        _by_pod(api, _METRICS, namespaces, "containers", ("usage",)),
        _by_pod(api, _PODS, namespaces, "spec.containers", ("resources", "requests")),
    )
    return tuple(
        _usage(service, [each for each, owner in pods.items() if owner == service], used, requested)
        for service in sorted(set(pods.values()))
    )


async def _check_served(api: ApiServer) -> None:
    if await api.resource("metrics.k8s.io/v1beta1", "PodMetrics") is None:
        raise _not_served(api)


def _not_served(api: ApiServer) -> ClusterError:
    says = f"{api.name} has no metrics: it does not serve metrics.k8s.io"
    return ClusterError(says, hint="install metrics-server; `bateau status` works without it")


def _usage(service: str, pods: list[str], used: Mapping[str, JsonObject], requested: Mapping[str, JsonObject]) -> Usage:
    measured = [used[each] for each in pods if each in used]
    asked = [requested[each] for each in pods if each in requested]
    return Usage(
        service=service,
        pods=len(pods),
        measured=len(measured),
        cpu_millicores=round(1000 * sum(_amounts(measured, "cpu", parse_cores))) if measured else None,
        cpu_requested_millicores=round(1000 * sum(_amounts(asked, "cpu", parse_cores))),
        memory_bytes=sum(_amounts(measured, "memory", parse_bytes)) if measured else None,
        memory_requested_bytes=sum(_amounts(asked, "memory", parse_bytes)),
    )


async def _by_pod(
    api: ApiServer, resource: Resource, namespaces: Iterable[str], at: str, below: tuple[str, ...]
) -> Mapping[str, JsonObject]:
    """Return the resources of the containers of each pod, by "namespace/name"."""

    def kept(tree: JsonObject) -> tuple[str, JsonObject]:
        name = f"{text_at(tree, 'metadata', 'namespace')}/{text_at(tree, 'metadata', 'name')}"
        containers: list[Json] = [{**object_at(each, *below)} for each in array_at(tree, *at.split("."))]
        return name, {"containers": containers}

    pages = await asyncio.gather(*(api.list(resource, kept, namespace=each) for each in namespaces))
    return {name: tree for found, _ in pages for name, tree in found}


def _amounts(pods: Iterable[JsonObject], resource: str, parse: Callable[[str], Amount]) -> Iterator[Amount]:
    for pod in pods:
        for each in array_at(pod, "containers"):
            if text := text_at(each, resource):
                with contextlib.suppress(QuantityError):  # such as a fraction of a byte that a request may have
                    yield parse(text)
