"""The measures of each service over time.

Written by wiring, kept by store, and read by alerts and charts. The table is the one list of all
that is kept, charted, alerted on and exported.

A measure is a sum or a gauge. A sum is kept as the increase in each interval, so that counters that begin again need no
care from readers. A missing value is unknown, and never 0.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal, Protocol

INTERVAL_S: Final = 15.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """A measure of a service, by its `name`. `title` is that of a chart; `unit` is one of UCUM, as in OpenTelemetry."""

    name: str
    title: str
    unit: str
    kind: Literal["sum", "gauge"]


REQUESTS: Final = Measure(name="requests", title="Requests", unit="{request}", kind="sum")
CLIENT_ERRORS: Final = Measure(name="client_errors", title="Client errors (4xx)", unit="{request}", kind="sum")
SERVER_ERRORS: Final = Measure(name="server_errors", title="Server errors (5xx)", unit="{request}", kind="sum")
SLOW: Final = Measure(name="slow", title="First tokens slower than the objective", unit="{request}", kind="sum")
FIRST_TOKENS: Final = Measure(name="first_tokens", title="Answers with a first token", unit="{request}", kind="sum")
FIRST_TOKEN_P95: Final = Measure(name="first_token_p95", title="First token p95", unit="s", kind="gauge")
INPUT_TOKENS: Final = Measure(name="input_tokens", title="Input tokens", unit="{token}", kind="sum")
OUTPUT_TOKENS: Final = Measure(name="output_tokens", title="Output tokens", unit="{token}", kind="sum")
ACTIVE: Final = Measure(name="active", title="Requests in flight", unit="{request}", kind="gauge")
WAITING: Final = Measure(name="waiting", title="Requests that wait", unit="{request}", kind="gauge")
REPLICAS_WANTED: Final = Measure(name="replicas_wanted", title="Replicas wanted", unit="{replica}", kind="gauge")
REPLICAS_READY: Final = Measure(name="replicas_ready", title="Replicas ready", unit="{replica}", kind="gauge")
RESTARTS: Final = Measure(name="restarts", title="Restarts", unit="{restart}", kind="sum")
CPU: Final = Measure(name="cpu", title="CPU time", unit="s", kind="sum")
MEMORY: Final = Measure(name="memory", title="Memory", unit="By", kind="gauge")

MEASURES: Final[Sequence[Measure]] = (
    REQUESTS,
    CLIENT_ERRORS,
    SERVER_ERRORS,
    SLOW,
    FIRST_TOKENS,
    FIRST_TOKEN_P95,
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

    That of a sum is the increase in the interval.
    """

    when_s: float
    value: float | None


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
