"""The paths of the dashboard, which the gateway passes to the control API, and its page while no control plane runs.

Called by traffic.envoy.replies and traffic.envoy.routes.

A person signs in at the control plane, so these paths need no API key.

Invariant: a page is either of the control plane or says that none runs. Held by
tests/traffic/test_dashboard.py::test_without_a_control_plane_a_page_says_so.
"""

import base64
import hashlib
from typing import Final

from bateau.kit.json_value import ReadObject
from bateau.traffic.envoy.api_paths import UI, UI_LIVE

_STYLE: Final = (
    ":root{color-scheme:light dark}body{font:15px/1.5 system-ui,sans-serif;max-width:34rem;margin:18vh auto;"
    "padding:0 1.25rem}h1{font-size:1.25rem}code{font-family:ui-monospace,monospace}"
)
_PAGE: Final = (
    '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>The control plane is not running</title>'
    '<meta name="viewport" content="width=device-width,initial-scale=1"><meta http-equiv="refresh" content="3">'
    f"<style>{_STYLE}</style></head><body><main><h1>The control plane is not running</h1>"
    "<p>Models and apps are served without it. The dashboard needs it: start it again with <code>bateau up</code>, "
    "and then sign in with the link that <code>bateau open</code> prints. This page looks for it every three seconds."
    "</p></main></body></html>"
)
_DIGEST: Final = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
_POLICY: Final = f"default-src 'none'; style-src 'sha256-{_DIGEST}'; frame-ancestors 'none'; base-uri 'none'"


def dashboard_routes(cluster: str, without_filters: ReadObject) -> list[ReadObject]:
    """Return the routes of the dashboard to the cluster of the control API.

    Their requests do not pass the filters for models and keys.
    """
    bounded: ReadObject = {"cluster": cluster, "timeout": "10s", "idle_timeout": "10s"}
    endless: ReadObject = {"cluster": cluster, "timeout": "0s", "idle_timeout": "0s"}
    return [
        {"name": "-dashboard-", "match": match, "route": route, "typed_per_filter_config": without_filters}
        for match, route in (({"path": UI_LIVE}, endless), ({"path_separated_prefix": UI}, bounded))
    ]


def down_page(unavailable: ReadObject) -> ReadObject:
    """Return the ResponseMapper of the page for requests that no control plane answers."""
    path = {"name": ":path", "string_match": {"safe_regex": {"regex": rf"{UI}(?:[/?].*)?"}}}
    body = {"text_format": _PAGE.replace("%", "%%"), "content_type": "text/html; charset=utf-8"}
    headers = {
        "retry-after": "2",
        "cache-control": "no-store",
        "content-security-policy": _POLICY,
        "x-content-type-options": "nosniff",
    }
    return {
        "filter": {"and_filter": {"filters": [unavailable, {"header_filter": {"header": path}}]}},
        "body_format_override": body,
        "headers_to_add": [
            {"header": {"key": name, "value": value}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}
            for name, value in headers.items()
        ],
    }
