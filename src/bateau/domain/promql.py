"""The expression of a measure for a Prometheus-compatible server.

Pure. The names are those of the metrics page, which has the routes of a model under the model's name, and those of an
app under KIND/NAME/PORT.

Invariant: a service's expression matches the series of no other service. Held by tests/domain/test_promql.py.
"""

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from bateau.domain.measures import TIME_EDGES_S, Measure

# The first as OpenTelemetry's conventions for generative models name it.
TIME_TO_FIRST_TOKEN: Final = "gen_ai_server_time_to_first_token_seconds"  # noqa: S105 - a token of text
TIME_TO_FIRST_BYTE: Final = "bateau_time_to_first_byte_seconds"
_CLUSTER_PARTS: Final = "([/#].+)?"  # an app's port, or how often a service that may sleep has woken up


def promql(
    measure: Measure,
    service: str,
    *,
    is_model: bool,
    window: str,
    bound_s: float = 1.0,
    labels: Mapping[str, str] = MappingProxyType({}),
) -> str:
    """Return the expression of a measure of a service ("model/chat") over a window ("5m").

    `labels` are those of the instance, where a server has several.

    With `is_model`, requests name the service in their body. `bound_s` is the latency beyond which an answer
    is slow; a bound between two edges of the histogram is interpolated between them.

    >>> from bateau.domain.measures import REQUESTS
    >>> promql(REQUESTS, "model/chat", is_model=True, window="5m")
    'sum(increase(bateau_requests_total{gen_ai_request_model="chat"}[5m]))'
    """
    lower, upper, share = around(bound_s)
    name = service.rpartition("/")[2]
    more = "".join(f",{_is(label, value)}" for label, value in labels.items())
    is_route = _is("gen_ai_request_model", name) if is_model else _matches("gen_ai_request_model", service, "/.+")
    words = {
        "routes": is_route + more,
        "latency": TIME_TO_FIRST_TOKEN if is_model else TIME_TO_FIRST_BYTE,
        "service": _is("service", service) + more,
        "clusters": _matches("cluster", service, _CLUSTER_PARTS) + more,
        "window": window,
        "lower": _edge(lower),
        "upper": _edge(upper),
        "below": f"{1 - share:.6g}",
        "above": f"{share:.6g}",
    }
    return re.sub(r"<(\w+)>", lambda found: words[found[1]], measure.promql)


def around(bound_s: float) -> tuple[float, float, float]:
    """Return the edges around a time, and where between them it lies, from 0 to 1.

    >>> around(0.5), around(1.75), around(1000.0), around(0.001)
    ((0.5, 0.5, 0.0), (1.0, 2.5, 0.5), (300.0, 300.0, 0.0), (0.005, 0.005, 0.0))
    """
    lower = max((edge for edge in TIME_EDGES_S if edge <= bound_s), default=TIME_EDGES_S[0])
    upper = min((edge for edge in TIME_EDGES_S if edge >= bound_s), default=TIME_EDGES_S[-1])
    return lower, upper, (bound_s - lower) / (upper - lower) if upper > lower else 0.0


def _edge(edge: float) -> str:
    """Return a pattern for an edge: Prometheus 3 writes 1 as 1.0."""
    return rf"{edge:.0f}([.]0)?" if edge.is_integer() else f"{edge:g}"


def _is(label: str, value: str) -> str:
    return f'{label}="{_escaped(value)}"'


def _matches(label: str, beginning: str, rest: str) -> str:
    return f'{label}=~"{_escaped(re.escape(beginning))}{rest}"'


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')
