"""What each service does now, in numbers: requests, errors, latency, tokens, memory and CPU.

Made by wiring.figures; shown by ui, and by cli through api.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceFigures:
    """The figures of one service over the last `seconds`, which do not count when they are compared. None: not known.

    `errors` is the share of the requests with a status of 400 or more, None if there were no requests.
    `latency_s_p95` is the time to the first token of a model, or to the first byte of an app, estimated from the
    buckets of a histogram. `tokens_per_s` counts generated tokens once their answer has ended; with `tokens_missing`,
    some answers did not say theirs. `memory_bytes` and `cpu_cores` are those of all replicas.
    """

    seconds: float = field(default=0.0, compare=False)
    requests_per_s: float | None = None
    errors: float | None = None
    latency_s_p95: float | None = None
    tokens_per_s: float | None = None
    tokens_missing: bool = False
    memory_bytes: int | None = None
    cpu_cores: float | None = None


UNKNOWN = ServiceFigures()


@dataclass(frozen=True, slots=True, kw_only=True)
class Uses:
    """The memory and the CPU cores that services use now, by their keys: of all replicas of each.

    A service that is missing is not known. `unknown` is why none is known, None if some may be.
    """

    memory_bytes: Mapping[str, int] = field(default_factory=dict[str, int])
    cpu_cores: Mapping[str, float] = field(default_factory=dict[str, float])
    unknown: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """The figures of all services by their keys. Another `number` means that they were measured again.

    `unmeasured` is why memory and CPU are known of no service, None if they may be.
    """

    number: int = 0
    services: Mapping[str, ServiceFigures] = field(default_factory=dict[str, ServiceFigures])
    unmeasured: str | None = None

    def of(self, service: str) -> ServiceFigures:
        """Return the figures of a service; those of one that is not known are unknown."""
        return self.services.get(service, UNKNOWN)
