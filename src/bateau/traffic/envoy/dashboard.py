"""The paths of the dashboard, which the gateway passes to the control API, and its pages where that cannot be.

Called by traffic.envoy.listener, traffic.envoy.replies and traffic.envoy.routes.

A person signs in at the control plane, so these paths need no API key. The control plane has more to do than pages, so
the gateway bounds how many requests for them it passes.

Invariant: a page is either of the control plane or says that none runs. Held by
tests/traffic/test_dashboard.py::test_without_a_control_plane_a_page_says_so.
Invariant: no more requests than the bound reach the control plane. Held by
tests/traffic/test_dashboard.py::test_the_gateway_bounds_the_requests_for_pages.
"""

import base64
import hashlib
from typing import Final

from bateau.kit.json_value import ReadObject
from bateau.traffic.envoy.api_paths import UI, UI_LIVE
from bateau.traffic.envoy.no_filter import FILTER_CHAIN, NO_FILTER

# A page with its files is five requests; streams last, so new ones are rare.
PAGES_AT_ONCE: Final = 300
_PAGES_PER_S: Final = 50
_STREAMS_AT_ONCE: Final = 60
_STREAMS_PER_S: Final = 10
_DASHBOARD: Final = "bateau.dashboard"
_RATE: Final = "type.googleapis.com/envoy.extensions.filters.http.local_ratelimit.v3.LocalRateLimit"
_ALWAYS: Final[ReadObject] = {"default_value": {"numerator": 100, "denominator": "HUNDRED"}}
_STYLE: Final = (
    ":root{color-scheme:light dark}body{font:15px/1.5 system-ui,sans-serif;max-width:34rem;margin:18vh auto;"
    "padding:0 1.25rem}h1{font-size:1.25rem}code{font-family:ui-monospace,monospace}"
)
_DIGEST: Final = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
_POLICY: Final = f"default-src 'none'; style-src 'sha256-{_DIGEST}'; frame-ancestors 'none'; base-uri 'none'"
_DOWN: Final = (
    "The control plane is not running",
    (
        "Models and apps are served without it. The dashboard needs it: start it again with <code>bateau up</code>, "
        "and then sign in with the link that <code>bateau open</code> prints. This page looks for it every three "
        "seconds."
    ),
)
_BUSY: Final = ("Too many requests", "The dashboard gets more requests than it may. This page tries again shortly.")


def dashboard_filter() -> ReadObject:
    """Return the HTTP filter that does nothing but on the routes of the dashboard, which fill it."""
    return {"name": _DASHBOARD, "typed_config": NO_FILTER}


def dashboard_routes(cluster: str, without_filters: ReadObject) -> list[ReadObject]:
    """Return the routes of the dashboard to the cluster of the control API.

    Their requests do not pass the filters for models and keys.
    """
    bounded: ReadObject = {"cluster": cluster, "timeout": "10s", "idle_timeout": "10s"}
    endless: ReadObject = {"cluster": cluster, "timeout": "0s", "idle_timeout": "0s"}
    live = _limit(_STREAMS_AT_ONCE, _STREAMS_PER_S)
    pages = _limit(PAGES_AT_ONCE, _PAGES_PER_S)
    return [
        {
            "name": "-dashboard-",
            "match": match,
            "route": route,
            "typed_per_filter_config": {**without_filters, _DASHBOARD: limit},
        }
        for match, route, limit in (
            ({"path": UI_LIVE}, endless, live),
            ({"path_separated_prefix": UI}, bounded, pages),
        )
    ]


def dashboard_pages(unavailable: ReadObject, refused: ReadObject) -> list[ReadObject]:
    """Return the ResponseMappers of requests that no control plane answers, and of those beyond the bound."""
    return [_page(unavailable, *_DOWN), _page(refused, *_BUSY)]


def _limit(at_once: int, per_s: int) -> ReadObject:
    config = {
        "@type": _RATE,
        "stat_prefix": "bateau_dashboard",
        "token_bucket": {"max_tokens": at_once, "tokens_per_fill": per_s, "fill_interval": "1s"},
        "filter_enabled": _ALWAYS,
        "filter_enforced": _ALWAYS,
    }
    filters = [{"name": "limit", "typed_config": config}]
    return {"@type": f"{FILTER_CHAIN}PerRoute", "filter_chain": {"filters": filters}}


def _page(status: ReadObject, title: str, says: str) -> ReadObject:
    page = (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        '<meta name="viewport" content="width=device-width,initial-scale=1"><meta http-equiv="refresh" content="3">'
        f"<style>{_STYLE}</style></head><body><main><h1>{title}</h1><p>{says}</p></main></body></html>"
    )
    path = {"name": ":path", "string_match": {"safe_regex": {"regex": rf"{UI}(?:[/?].*)?"}}}
    headers = {
        "retry-after": "2",
        "cache-control": "no-store",
        "content-security-policy": _POLICY,
        "x-content-type-options": "nosniff",
    }
    return {
        "filter": {"and_filter": {"filters": [status, {"header_filter": {"header": path}}]}},
        "body_format_override": {"text_format": page.replace("%", "%%"), "content_type": "text/html; charset=utf-8"},
        "headers_to_add": [
            {"header": {"key": name, "value": value}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}
            for name, value in headers.items()
        ],
    }
