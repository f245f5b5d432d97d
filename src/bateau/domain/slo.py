"""The objectives of a service: the share of its requests that succeed, and their latency.

Made by specs.kinds; read by control and wiring. The parts are schemas too, because documents contain them.
"""

from dataclasses import dataclass
from typing import Final

from bateau.kit.schema import Seconds, described

AVAILABILITY: Final = 99.5
LATENCY_P95_S: Final = 5.0  # a bound of a bucket in the gateway's histogram, so it is measured and not estimated
LATENCY_SHARE: Final = 95.0  # percent of the answers that are in time
_AVAILABILITY_MAX: Final = 99.999
_AVAILABILITY_MIN: Final = 50.0
_LATENCY_MAX_S: Final = 300.0
_LATENCY_MIN_S: Final = 0.005


@dataclass(frozen=True, kw_only=True)
class _Available:
    availability: float = described(
        "Percent of the requests that must not end with a status of 500 or more.",
        default=AVAILABILITY,
        minimum=_AVAILABILITY_MIN,
        maximum=_AVAILABILITY_MAX,
        examples=(99.9,),
    )


@dataclass(frozen=True, kw_only=True)
class AppSlo(_Available):
    """The objectives of an app."""

    ttfb_p95: Seconds = described(
        "Time within which 95 percent of the answers must have their first byte.",
        default=LATENCY_P95_S,
        minimum=_LATENCY_MIN_S,
        maximum=_LATENCY_MAX_S,
        examples=("500ms",),
    )


@dataclass(frozen=True, kw_only=True)
class ModelSlo(_Available):
    """The objectives of a model."""

    ttft_p95: Seconds = described(
        "Time within which 95 percent of the answers must have their first token.",
        default=LATENCY_P95_S,
        minimum=_LATENCY_MIN_S,
        maximum=_LATENCY_MAX_S,
        examples=("2s",),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Slo:
    """The objectives of a workload. `availability` is in percent.

    `latency_p95_s` is that of the first token of a model, or of the first byte of an app; None: it has no objective.
    """

    availability: float = AVAILABILITY
    latency_p95_s: float | None = None
