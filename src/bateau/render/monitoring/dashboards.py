"""Dashboards for Grafana over the metrics page: the services, one model, and the gateway with the control plane.

Called by cli.dashboards. Pure: the same version gives the same dashboards.
Source: Grafana, "JSON model" (classic dashboards) and "Variables". Panels use the datasource and the instances that the
user chooses on the dashboard.

Invariant: each panel has data on an instance with traffic, or says why not. Held by
tests/local/test_dashboards.py::test_every_panel_has_data_or_says_why_not.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

from bateau.domain.measures import CPU, LATENCY_P95, MEASURES, RESTARTS, SLOW, Measure
from bateau.domain.promql import TIME_TO_FIRST_BYTE, TIME_TO_FIRST_TOKEN, promql
from bateau.kit.json_value import JsonObject

_SCHEMA: Final = 41  # of Grafana 12; later versions migrate it
_COLUMNS: Final = 24
_WINDOW: Final = "$__rate_interval"
_MODEL: Final = "$model"
_UNITS: Final[Mapping[str, str]] = {"By": "bytes", "s": "s"}


@dataclass(frozen=True, kw_only=True)
class Panel:
    """A panel. `queries` has the legend of each query, in which `{}` is the selector of the instances.

    `unit` is one of Grafana's. `quiet` says why an instance with traffic may have no data for it.
    """

    title: str
    queries: Mapping[str, str]
    unit: str = "short"
    kind: Literal["timeseries", "stat", "table"] = "timeseries"
    says: str = ""
    quiet: str = ""
    stacked: bool = False


@dataclass(frozen=True, kw_only=True)
class Dashboard:
    """A dashboard, with its rows of panels. `of_model`: it shows one model, which the user chooses."""

    name: str
    title: str
    rows: Mapping[str, Sequence[Panel]] = field(default_factory=dict[str, Sequence[Panel]])
    of_model: bool = False

    @property
    def panels(self) -> Sequence[Panel]:
        """All panels."""
        return [panel for row in self.rows.values() for panel in row]


_REQUESTS: Final = "rate(bateau_requests_total{}[$__rate_interval])"
_FAILED: Final = 'rate(bateau_requests_total{http_response_status_code=~"5.."}[$__rate_interval])'
SERVICES: Final = Dashboard(
    name="bateau-services",
    title="Bateau: services",
    rows={
        "Now": (
            Panel(title="Replicas ready", kind="stat", queries={"ready": "sum(bateau_service_replicas_ready{})"}),
            Panel(title="Replicas wanted", kind="stat", queries={"wanted": "sum(bateau_service_replicas_wanted{})"}),
            Panel(title="Requests", kind="stat", unit="reqps", queries={"requests": f"sum({_REQUESTS})"}),
            Panel(
                title="Errors (5xx)",
                kind="stat",
                unit="percentunit",
                queries={"errors": f"(sum({_FAILED}) or 0 * sum({_REQUESTS})) / (sum({_REQUESTS}) > 0)"},
            ),
            Panel(
                title="Alerts",
                kind="stat",
                queries={"alerts": "count(bateau_alert_firing{}) or 0 * sum(bateau_build_info{})"},
            ),
        ),
        "Requests": (
            Panel(
                title="Requests",
                unit="reqps",
                queries={"{{gen_ai_request_model}}": f"sum by (gen_ai_request_model) ({_REQUESTS})"},
                says="A model has its name, an app its key and its port. Other requests have a name in dashes.",
                stacked=True,
            ),
            Panel(
                title="Errors (4xx and 5xx)",
                unit="reqps",
                queries={
                    "{{gen_ai_request_model}} {{http_response_status_code}}": "sum by (gen_ai_request_model, "
                    "http_response_status_code) "
                    '(rate(bateau_requests_total{http_response_status_code=~"[45].."}[$__rate_interval])) > 0'
                },
            ),
            Panel(
                title="Latency p95",
                unit="s",
                queries={
                    "{{gen_ai_request_model}}": " or ".join(
                        "histogram_quantile(0.95, sum by (le, gen_ai_request_model) "
                        f"(rate({each}_bucket{{}}[$__rate_interval])))"
                        for each in (TIME_TO_FIRST_TOKEN, TIME_TO_FIRST_BYTE)
                    )
                },
                says="From the request to the first token of a model, or to the first byte of an app.",
            ),
        ),
        "Tokens and resources": (
            Panel(
                title="Tokens generated",
                queries={
                    "{{gen_ai_request_model}}": "sum by (gen_ai_request_model) "
                    "(rate(bateau_usage_tokens_out_total{}[$__rate_interval]))"
                },
                says="Per second, as the ledger counts them: once their answer has ended.",
                stacked=True,
            ),
            Panel(
                title="Memory",
                unit="bytes",
                queries={"{{service}}": "sum by (service) (bateau_service_memory_bytes{})"},
            ),
            Panel(
                title="CPU",
                queries={
                    "{{service}}": "sum by (service) (rate(bateau_service_cpu_seconds_total{}[$__rate_interval]))"
                },
                says="Cores.",
            ),
        ),
        "Health": (
            Panel(
                title="Services",
                kind="table",
                queries={
                    "ready": "sum by (service) (bateau_service_replicas_ready{})",
                    "wanted": "sum by (service) (bateau_service_replicas_wanted{})",
                    "restarts in an hour": "sum by (service) (increase(bateau_replica_restarts_total{}[1h]))",
                },
            ),
            Panel(
                title="States",
                kind="table",
                queries={"state": "max by (service, state) (bateau_service_state{})"},
            ),
            Panel(
                title="Alerts",
                kind="table",
                queries={"alerts": "max by (alertname, severity, subject) (bateau_alert_firing{})"},
                quiet="no alert fires",
            ),
        ),
    },
)

GATEWAY: Final = Dashboard(
    name="bateau-gateway",
    title="Bateau: gateway and control plane",
    rows={
        "Gateway": (
            Panel(
                title="Requests by status",
                unit="reqps",
                queries={"{{http_response_status_code}}": f"sum by (http_response_status_code) ({_REQUESTS})"},
                stacked=True,
            ),
            Panel(
                title="Requests in flight",
                queries={"{{cluster}}": "sum by (cluster) (envoy_cluster_upstream_rq_active{})"},
            ),
            Panel(
                title="Retries on another replica",
                unit="reqps",
                queries={
                    "{{cluster}}": "sum by (cluster) (rate(envoy_cluster_upstream_rq_retry_total{}[$__rate_interval]))"
                },
            ),
            Panel(
                title="Replicas that accept requests",
                queries={"{{cluster}}": "max by (cluster) (envoy_cluster_membership_healthy{})"},
            ),
            Panel(
                title="Request duration",
                unit="s",
                queries={
                    f"p{share}": f"histogram_quantile(0.{share}, sum by (le) "
                    "(rate(gen_ai_server_request_duration_seconds_bucket{}[$__rate_interval])))"
                    for share in (50, 95, 99)
                },
            ),
            Panel(
                title="Memory and CPU of the gateway",
                queries={
                    "MiB": 'sum(bateau_service_memory_bytes{service="gateway/envoy"}) / 1048576',
                    "cores": 'sum(rate(bateau_service_cpu_seconds_total{service="gateway/envoy"}[$__rate_interval]))',
                },
            ),
        ),
        "Ledger": (
            Panel(
                title="Lines of the ledger",
                queries={
                    "written": "sum(rate(bateau_ledger_lines_total{}[$__rate_interval]))",
                    "lost": "sum(rate(bateau_ledger_lines_lost_total{}[$__rate_interval]))",
                },
                quiet="Envoy's own filters count no lines",
            ),
            Panel(
                title="Requests that met a bug in the native filter",
                queries={"panics": "sum(increase(bateau_gateway_panics_total{}[1h]))"},
                quiet="Envoy's own filters count no bugs",
            ),
            Panel(
                title="Spans",
                queries={"{{outcome}}": "sum by (outcome) (rate(bateau_spans_total{}[$__rate_interval]))"},
                quiet="no collector of spans is set",
            ),
        ),
        "Control plane": (
            Panel(
                title="Turns of the control loop",
                queries={
                    "turns": "sum(rate(bateau_control_turns_total{}[$__rate_interval]))",
                    "failed": "sum(rate(bateau_control_failed_turns_total{}[$__rate_interval]))",
                },
            ),
            Panel(
                title="Time in turns",
                unit="percentunit",
                queries={"turns": "sum(rate(bateau_control_turn_seconds_total{}[$__rate_interval]))"},
            ),
            Panel(
                title="Sources of metrics that do not answer",
                queries={"{{instance}}": "bateau_scrape_failures{}"},
            ),
            Panel(
                title="Events",
                queries={"{{reason}}": "sum by (reason) (increase(bateau_events_total{}[$__rate_interval])) > 0"},
                quiet="nothing has happened",
            ),
            Panel(
                title="Issuers whose keys cannot be fetched",
                queries={"{{issuer}}": "max by (issuer) (bateau_issuer_failing{})"},
                quiet="no OIDC issuer is set",
            ),
            Panel(
                title="Versions",
                kind="table",
                queries={
                    "control plane": "max by (instance, version) (bateau_build_info{})",
                    "filters": "max by (instance, filters, why) (bateau_gateway_filters_info{})",
                },
            ),
        ),
    },
)


def dashboards() -> Sequence[Dashboard]:
    """Return all dashboards."""
    return (SERVICES, _model(), GATEWAY)


def _model() -> Dashboard:
    """Return the dashboard of one model: every measure, and what its engine says."""
    engine = {
        "Prompt tokens computed": "rate(bateau_model_prompt_tokens_total{%s}[$__rate_interval])",
        "Prompt tokens from the cache": "rate(bateau_model_prompt_tokens_cached_total{%s}[$__rate_interval])",
        "Tokens per second of generation": "rate(bateau_model_generated_tokens_total{%s}[$__rate_interval]) / "
        "rate(bateau_model_generation_seconds_total{%s}[$__rate_interval])",
        "Slots in use": "bateau_model_requests_processing{%s}",
    }
    selector = f'gen_ai_request_model="{_MODEL}"'
    return Dashboard(
        name="bateau-model",
        title="Bateau: one model",
        of_model=True,
        rows={
            "Measures": [_measured(each) for each in MEASURES if each is not SLOW],
            "Engine": [
                Panel(
                    title=title,
                    queries={"{{replica}}": expr.replace("%s", selector)},
                    quiet="only llama.cpp's own servers say it",
                )
                for title, expr in engine.items()
            ],
            "Keys": [
                Panel(
                    title="Tokens by owner of the key",
                    queries={
                        "{{owner}}": f"sum by (owner) (rate(bateau_usage_tokens_out_total{{{selector}}}[{_WINDOW}]))"
                    },
                    stacked=True,
                ),
                Panel(
                    title="Requests by key",
                    unit="reqps",
                    queries={"{{key}}": f"sum by (key) (rate(bateau_usage_requests_total{{{selector}}}[{_WINDOW}]))"},
                    stacked=True,
                ),
            ],
        },
    )


def _measured(measure: Measure) -> Panel:
    """Return the panel of a measure. That of a sum shows its increase per second, of restarts that in an hour."""
    window = "1h" if measure is RESTARTS else _WINDOW
    expr = promql(measure, f"model/{_MODEL}", is_model=True, window=window)
    # A variable has no characters that a pattern needs to escape.
    expr = expr.replace(f"\\\\{_MODEL}", _MODEL)
    is_rate = measure.kind == "sum" and measure is not RESTARTS
    unit = "short" if measure is CPU else _UNITS.get(measure.unit, "short")
    return Panel(
        title=f"{measure.title} per second" if is_rate else measure.title,
        queries={measure.title: expr.replace("increase(", "rate(") if is_rate else expr},
        unit=unit,
        quiet="only llama.cpp's own servers say it" if measure.name == "waiting" else "",
        says="In an hour." if measure is RESTARTS else "Estimated." if measure is LATENCY_P95 else "",
    )


def selected(expr: str) -> str:
    """Return a query for the instances that the user has chosen."""
    return expr.replace("{", '{instance=~"$instance",').replace(",}", "}")


def dashboard_json(dashboard: Dashboard) -> JsonObject:
    """Return the JSON that Grafana imports."""
    return {
        "uid": dashboard.name,
        "title": dashboard.title,
        "tags": ["bateau"],
        "schemaVersion": _SCHEMA,
        "editable": True,
        "graphTooltip": 1,  # the crosshair is shared
        "refresh": "30s",
        "time": {"from": "now-1h", "to": "now"},
        "timezone": "browser",
        "links": [
            {
                "asDropdown": False,
                "icon": "external link",
                "includeVars": True,
                "keepTime": True,
                "tags": ["bateau"],
                "targetBlank": False,
                "title": "Bateau",
                "tooltip": "",
                "type": "dashboards",
                "url": "",
            }
        ],
        "annotations": {"list": []},
        "templating": {"list": [*_variables(dashboard)]},
        "panels": [*_placed(dashboard)],
    }


def _variables(dashboard: Dashboard) -> Iterator[JsonObject]:
    yield {
        "name": "datasource",
        "label": "Data source",
        "type": "datasource",
        "query": "prometheus",
        "refresh": 1,
        "hide": 0,
    }
    yield _query_variable("instance", "Instance", "label_values(bateau_build_info, instance)", is_multi=True)
    if dashboard.of_model:
        query = 'label_values(bateau_service_replicas_wanted{instance=~"$instance",service=~"model/.+"}, service)'
        yield {**_query_variable("model", "Model", query, is_multi=False), "regex": "model/(.+)"}


def _query_variable(name: str, label: str, query: str, *, is_multi: bool) -> JsonObject:
    return {
        "name": name,
        "label": label,
        "type": "query",
        "datasource": _datasource(),
        "definition": query,
        "query": {"query": query, "refId": name},
        "refresh": 2,  # when the time range changes, too
        "sort": 1,
        "hide": 0,
        "multi": is_multi,
        "includeAll": is_multi,
        **({"current": {"text": ["All"], "value": ["$__all"]}} if is_multi else {}),
    }


def _placed(dashboard: Dashboard) -> Iterator[JsonObject]:
    """Yield the panels, and a heading above each row of them, from the top to the bottom."""
    top, number = 0, 0
    for title, panels in dashboard.rows.items():
        number += 1
        place: JsonObject = {"x": 0, "y": top, "w": _COLUMNS, "h": 1}
        yield {"id": number, "type": "row", "title": title, "collapsed": False, "gridPos": place, "panels": []}
        top += 1
        small = all(panel.kind == "stat" for panel in panels)
        columns, height = (len(panels), 4) if small else (3, 8)
        for index, panel in enumerate(panels):
            number += 1
            row, column = divmod(index, columns)
            left, right = (_COLUMNS * each // columns for each in (column, column + 1))
            place = {"x": left, "y": top + row * height, "w": right - left, "h": height}
            yield _panel(panel, number, place)
        top += -(-len(panels) // columns) * height


def _panel(panel: Panel, number: int, place: JsonObject) -> JsonObject:
    is_table = panel.kind == "table"
    custom: JsonObject = {"fillOpacity": 10, "lineWidth": 1, "showPoints": "never", "spanNulls": False}
    if panel.stacked:
        custom["stacking"] = {"group": "A", "mode": "normal"}
    options: dict[str, JsonObject] = {
        "timeseries": {
            "legend": {"calcs": ["lastNotNull"], "displayMode": "list", "placement": "bottom", "showLegend": True},
            "tooltip": {"mode": "multi", "sort": "desc"},
        },
        "stat": {
            "colorMode": "value",
            "graphMode": "area",
            "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
        },
        "table": {"showHeader": True, "cellHeight": "sm"},
    }
    defaults: JsonObject = (
        {"unit": panel.unit, "custom": custom} if panel.kind == "timeseries" else {"unit": panel.unit}
    )
    return {
        "id": number,
        "type": panel.kind,
        "title": panel.title,
        "description": panel.says,
        "datasource": _datasource(),
        "gridPos": place,
        "fieldConfig": {"defaults": defaults, "overrides": []},
        "options": options[panel.kind],
        "targets": [
            {
                "refId": chr(ord("A") + index),
                "datasource": _datasource(),
                "editorMode": "code",
                "expr": selected(expr),
                "legendFormat": legend,
                "instant": is_table,
                "range": not is_table,
                **({"format": "table"} if is_table else {}),
            }
            for index, (legend, expr) in enumerate(panel.queries.items())
        ],
        "transformations": [*_joined(panel)] if is_table else [],
    }


def _joined(panel: Panel) -> list[JsonObject]:
    """Return the steps that make one table of several queries: a row for each service, without the times."""
    names: JsonObject = {
        f"Value #{chr(ord('A') + index)}" if len(panel.queries) > 1 else "Value": legend
        for index, legend in enumerate(panel.queries)
    }
    organize: JsonObject = {"excludeByName": {"Time": True}, "indexByName": {}, "renameByName": names}
    return [{"id": "merge", "options": {}}, {"id": "organize", "options": organize}]


def _datasource() -> JsonObject:
    return {"type": "prometheus", "uid": "${datasource}"}
