"""The measures of each service over time.

Written by wiring, kept by store, and read by alerts and charts. The table is the one list of all
that is kept, charted, alerted on and exported.

The latency of an answer is the time from its request to the first token of a model, or to the first byte of an app.

A measure is a sum or a gauge. A sum is kept as the increase in each interval, so that counters that begin again need no
care from readers. A missing value is unknown, and never 0.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal, Protocol

INTERVAL_S: Final = 15.0
# The edges of the gateway's histograms of times.
TIME_EDGES_S: Final = (
    *(0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0),
    *(2.5, 5.0, 7.5, 10.0, 30.0, 60.0, 120.0, 300.0),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """A measure of a service, by its `name`. `title` is that of a chart; `unit` is one of UCUM, as in OpenTelemetry.

    `promql` is its expression on the metrics page, in which `domain.promql` replaces the words in angle brackets. That
    of a sum is the increase in a window.
    """

    name: str
    title: str
    unit: str
    kind: Literal["sum", "gauge"]
    promql: str


REQUESTS: Final = Measure(
    name="requests",
    title="Requests",
    unit="{request}",
    kind="sum",
    promql="sum(increase(bateau_requests_total{<routes>}[<window>]))",
)
CLIENT_ERRORS: Final = Measure(
    name="client_errors",
    title="Client errors (4xx)",
    unit="{request}",
    kind="sum",
    promql=(
        'sum(increase(bateau_requests_total{<routes>,http_response_status_code=~"4.."}[<window>])) '
        "or 0 * sum(increase(bateau_requests_total{<routes>}[<window>]))"
    ),
)
SERVER_ERRORS: Final = Measure(
    name="server_errors",
    title="Server errors (5xx)",
    unit="{request}",
    kind="sum",
    promql=(
        'sum(increase(bateau_requests_total{<routes>,http_response_status_code=~"5.."}[<window>])) '
        "or 0 * sum(increase(bateau_requests_total{<routes>}[<window>]))"
    ),
)
SLOW: Final = Measure(
    name="slow",
    title="Answers slower than the objective",
    unit="{request}",
    kind="sum",
    promql=(
        "sum(increase(<latency>_count{<routes>}[<window>])) "
        '- <below> * sum(increase(<latency>_bucket{<routes>,le=~"<lower>"}[<window>])) '
        '- <above> * sum(increase(<latency>_bucket{<routes>,le=~"<upper>"}[<window>]))'
    ),
)
ANSWERS: Final = Measure(
    name="answers",
    title="Answers whose latency is known",
    unit="{request}",
    kind="sum",
    promql="sum(increase(<latency>_count{<routes>}[<window>]))",
)
LATENCY_P95: Final = Measure(
    name="latency_p95",
    title="Latency p95",
    unit="s",
    kind="gauge",
    promql=("histogram_quantile(0.95, sum by (le) (increase(<latency>_bucket{<routes>}[<window>])))"),
)
INPUT_TOKENS: Final = Measure(
    name="input_tokens",
    title="Input tokens",
    unit="{token}",
    kind="sum",
    promql="sum(increase(bateau_usage_tokens_in_total{<routes>}[<window>]))",
)
OUTPUT_TOKENS: Final = Measure(
    name="output_tokens",
    title="Output tokens",
    unit="{token}",
    kind="sum",
    promql="sum(increase(bateau_usage_tokens_out_total{<routes>}[<window>]))",
)
ACTIVE: Final = Measure(
    name="active",
    title="Requests in flight",
    unit="{request}",
    kind="gauge",
    promql="sum(envoy_cluster_upstream_rq_active{<clusters>})",
)
WAITING: Final = Measure(
    name="waiting",
    title="Requests that wait",
    unit="{request}",
    kind="gauge",
    promql="sum(bateau_model_requests_waiting{<routes>})",
)
REPLICAS_WANTED: Final = Measure(
    name="replicas_wanted",
    title="Replicas wanted",
    unit="{replica}",
    kind="gauge",
    promql="sum(bateau_service_replicas_wanted{<service>})",
)
REPLICAS_READY: Final = Measure(
    name="replicas_ready",
    title="Replicas ready",
    unit="{replica}",
    kind="gauge",
    promql="sum(bateau_service_replicas_ready{<service>})",
)
RESTARTS: Final = Measure(
    name="restarts",
    title="Restarts",
    unit="{restart}",
    kind="sum",
    promql="sum(increase(bateau_replica_restarts_total{<service>}[<window>]))",
)
CPU: Final = Measure(
    name="cpu",
    title="CPU time",
    unit="s",
    kind="sum",
    promql="sum(increase(bateau_service_cpu_seconds_total{<service>}[<window>]))",
)
MEMORY: Final = Measure(
    name="memory",
    title="Memory",
    unit="By",
    kind="gauge",
    promql="sum(bateau_service_memory_bytes{<service>})",
)

MEASURES: Final[Sequence[Measure]] = (
    REQUESTS,
    CLIENT_ERRORS,
    SERVER_ERRORS,
    SLOW,
    ANSWERS,
    LATENCY_P95,
    INPUT_TOKENS,
    OUTPUT_TOKENS,
    ACTIVE,
    WAITING,
    REPLICAS_WANTED,
    REPLICAS_READY,
    RESTARTS,
    CPU,
    MEMORY,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """A value of a measure in the interval that ends at `when_s`, a Unix time in seconds. None: not known.

    That of a sum is the increase in the interval, of which `seconds` were measured.
    """

    when_s: float
    value: float | None
    seconds: float = 0.0


class MeasureHistory(Protocol):
    """Reads the values of measures. No method raises for a damaged or missing history: its values are unknown."""

    def services(self) -> Sequence[str]:
        """Return the keys of the services that have a history."""
        ...

    def points(self, service: str, measure: Measure, *, since: float, until: float, step_s: float) -> Sequence[Point]:
        """Return a point for each step, oldest first: the sum or, of a gauge, the largest value in the step."""
        ...

    def total(self, service: str, measure: Measure, *, since: float, until: float) -> float | None:
        """Return the sum, or the largest value of a gauge, in a window; None where nothing was measured in it.

        Cheap enough to ask for windows of three days of 200 services each 15 seconds.
        """
        ...

    def latest(self, service: str) -> Mapping[str, float]:
        """Return the latest value of each measure by its name, those that are older than a minute left out."""
        ...
