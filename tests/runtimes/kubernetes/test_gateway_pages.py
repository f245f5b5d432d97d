"""The metrics of a cluster's gateways, through its API server."""

import pytest
from aiohttp import web

from bateau.domain.errors import ClusterError
from bateau.observe.gateway_usage import FILTER, gateway_usage
from bateau.runtimes.kubernetes.gateway_pages import gateway_pages
from runtimes.kubernetes.servant import served, status

PAGE = """\
# TYPE envoy_bateau_usage_requests counter
envoy_bateau_usage_requests{code="200",key="ci",route="shop/chat"} 3
envoy_bateau_usage_requests{code="429",key="ci",route="shop/chat"} 1
envoy_bateau_usage_requests{code="401",key="",route=""} 2
envoy_bateau_usage_requests_without_tokens{key="ci",route="shop/chat"} 1
envoy_bateau_usage_tokens_in{key="ci",route="shop/chat"} 20
envoy_bateau_usage_tokens_out{key="ci",route="shop/chat"} 10
envoy_bateau_other 7
"""


def _pod(name: str) -> dict[str, object]:
    return {
        "metadata": {"name": name, "namespace": "bateau-system"},
        "status": {"startTime": "2026-11-30T10:00:00Z"},
    }


async def _cluster(request: web.Request) -> web.StreamResponse:
    if request.path == "/api/v1/pods":
        assert request.query["labelSelector"] == "app.kubernetes.io/name=bateau-gateway"
        return web.json_response({"items": [_pod("gateway-2"), _pod("gateway-1")]})
    assert request.path.endswith(":19001/proxy/stats/prometheus")
    assert request.query["filter"] == FILTER
    if "gateway-1" in request.path:
        return web.Response(text=PAGE)
    return await status(503, "ServiceUnavailable", "no endpoint")(request)


async def test_a_gateway_that_does_not_answer_is_named() -> None:
    async with served(_cluster) as (api, _):
        first, second = await gateway_pages(api, FILTER)
    assert (first.pod, first.since, first.page) == ("bateau-system/gateway-1", "2026-11-30T10:00:00Z", PAGE)
    assert (second.pod, second.page) == ("bateau-system/gateway-2", None)
    assert "no endpoint" in second.why


async def test_rights_that_are_missing_are_told() -> None:
    async with served(status(403, "Forbidden", "pods is forbidden")) as (api, _):
        with pytest.raises(ClusterError, match="forbidden"):
            await gateway_pages(api, FILTER)


def test_the_sums_of_gateways_are_added_and_unknown_tokens_are_counted() -> None:
    found = gateway_usage([PAGE, PAGE], "key")
    ci = found.by["ci"].sum
    assert (ci.requests, ci.errors, ci.tokens_in, ci.tokens_out, ci.uncounted) == (8, 2, 40, 20, 2)
    assert (found.by["(no key)"].sum.requests, found.total.sum.requests, found.total.sum.errors) == (4, 12, 6)
    assert set(gateway_usage([PAGE], "model").by) == {"shop/chat", "(no model)"}
