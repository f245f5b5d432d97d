"""What pods use and request, as far as it is measured."""

from datetime import UTC, datetime, timedelta

import pytest
from aiohttp import web

from bateau.domain.errors import ClusterError
from bateau.domain.usage import Usage
from bateau.runtimes.kubernetes.usage import PodUse, pod_uses, usage
from runtimes.kubernetes.servant import Answer, served, status


def _metrics(name: str, cpu: str, memory: str) -> dict[str, object]:
    return {
        "metadata": {"name": name, "namespace": "shop"},
        "containers": [{"name": "web", "usage": {"cpu": cpu, "memory": memory}}],
    }


def _pod(name: str) -> dict[str, object]:
    requests = {"cpu": "250m", "memory": "1Gi"}
    return {
        "metadata": {"name": name, "namespace": "shop"},
        "spec": {"containers": [{"name": "web", "resources": {"requests": requests}}, {"name": "log"}]},
    }


async def _cluster(request: web.Request) -> web.StreamResponse:
    if request.path == "/apis/metrics.k8s.io/v1beta1":
        return web.json_response({"resources": [{"name": "pods", "kind": "PodMetrics", "namespaced": True}]})
    if request.path.startswith("/apis/metrics.k8s.io"):
        assert request.path.endswith("/namespaces/shop/pods")
        return web.json_response({"items": [_metrics("web-1", "2711393n", "12Mi"), _metrics("other", "9", "9Gi")]})
    return web.json_response({"items": [_pod("web-1"), _pod("web-2"), _pod("idle")]})


async def test_the_figures_of_measured_pods_are_added_and_the_others_counted() -> None:
    async with served(_cluster) as (api, _):
        found = await usage(api, {"shop/web-1": "app/web", "shop/web-2": "app/web", "shop/idle": "app/idle"})
    assert found == (
        Usage(
            service="app/idle",
            pods=1,
            measured=0,
            cpu_millicores=None,
            cpu_requested_millicores=250,
            memory_bytes=None,
            memory_requested_bytes=2**30,
        ),
        Usage(
            service="app/web",
            pods=2,
            measured=1,
            cpu_millicores=3,
            cpu_requested_millicores=500,
            memory_bytes=12 * 2**20,
            memory_requested_bytes=2**31,
        ),
    )


async def test_a_cluster_without_metrics_says_so() -> None:
    async with served(status(404, "NotFound", "the server could not find the requested resource")) as (api, _):
        with pytest.raises(ClusterError, match=r"does not serve metrics\.k8s\.io"):
            await usage(api, {"shop/web-1": "app/web"})
        with pytest.raises(ClusterError, match=r"does not serve metrics\.k8s\.io"):
            await pod_uses(api, ["shop"])


def metrics_at(name: str, seconds_ago: float) -> dict[str, object]:
    when = datetime.now(tz=UTC) - timedelta(seconds=seconds_ago)
    return {**_metrics(name, "250m", "12Mi"), "timestamp": when.strftime("%Y-%m-%dT%H:%M:%SZ"), "window": "15s"}


def measured(*items: dict[str, object]) -> Answer:
    async def cluster(request: web.Request) -> web.StreamResponse:
        if request.path == "/apis/metrics.k8s.io/v1beta1":
            return web.json_response({"resources": [{"name": "pods", "kind": "PodMetrics", "namespaced": True}]})
        return web.json_response({"items": items})

    return cluster


async def test_an_old_figure_is_none() -> None:
    undated = _metrics("undated", "1", "1Mi")
    async with served(measured(metrics_at("new", 20), metrics_at("old", 300), undated)) as (api, servant):
        found = await pod_uses(api, ["shop"])
        assert found == {"shop/new": PodUse(cpu_cores=0.25, memory_bytes=12 * 2**20)}
        assert servant.asked[-1].path == "/apis/metrics.k8s.io/v1beta1/namespaces/shop/pods"
        await pod_uses(api, [f"n{number}" for number in range(20)])
        assert servant.asked[-1].path == "/apis/metrics.k8s.io/v1beta1/pods", "one request instead of 20"


async def test_metrics_that_have_gone_are_named() -> None:
    answers = [measured(), measured(), status(404, "NotFound", "the server could not find the requested resource")]
    async with served(*answers) as (api, _):
        assert await pod_uses(api, ["shop"]) == {}
        with pytest.raises(ClusterError, match=r"does not serve metrics\.k8s\.io"):
            await pod_uses(api, ["shop"])
