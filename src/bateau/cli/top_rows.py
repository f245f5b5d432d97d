"""The table of `bateau top`, from the status and the figures of an instance.

Called by cli.graph, cli.top and cli.top_screen.

Invariant: a figure that is not known is a dash or null, and never 0, and it is sorted last. Held by
tests/cli/test_top.py::test_an_unknown_figure_is_a_dash_and_comes_last.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal, cast, get_args

from bateau.api.trees import FiguresTree, FigureTree, ServiceTree, StatusTree
from bateau.kit.json_value import ReadObject
from bateau.kit.visible import visible_line

Order = Literal["service", "state", "requests", "errors", "latency", "tokens", "cpu", "memory"]
ORDERS: Final[Sequence[Order]] = get_args(Order)
HEADER: Final = ("SERVICE", "STATE", "READY", "REQ/S", "ERRORS", "LATENCY P95", "TOKENS/S", "CPU", "MEMORY")
_UNKNOWN: Final[FigureTree] = {
    "seconds": 0.0,
    "requestsPerS": None,
    "errors": None,
    "latencySP95": None,
    "tokensPerS": None,
    "tokensMissing": False,
    "memoryBytes": None,
    "cpuCores": None,
}
_DASH: Final = "-"
_REASON_MAX: Final = 80
# The worst first; others are between.
_STATES: Final = ("Failed", "Degraded", "Starting", "Pulling", "Leaving", "Ready", "Asleep", "Done", "Stopped")


@dataclass(frozen=True, kw_only=True)
class Sample:
    """The status and the figures of an instance at one moment."""

    status: StatusTree
    figures: FiguresTree

    @property
    def is_first_look(self) -> bool:
        """Whether the figures lack all that takes a second look."""
        return not any(each["seconds"] for each in self.figures["services"].values())

    def of(self, service: str) -> FigureTree:
        """Return the figures of a service."""
        return self.figures["services"].get(service, _UNKNOWN)

    def ordered(self, order: Order) -> list[ServiceTree]:
        """Return the services, and the gateway."""
        services = [*self.status["services"], self.status["gateway"]]
        if order == "service":
            return services
        if order == "state":
            return sorted(services, key=lambda each: _badness(each["state"]))
        of = _FIGURES[order]
        return sorted(services, key=lambda each: -_or_least(of(self.of(each["service"]))))


_FIGURES: Final[Mapping[Order, Callable[[FigureTree], float | None]]] = {
    "requests": lambda each: each["requestsPerS"],
    "errors": lambda each: each["errors"],
    "latency": lambda each: each["latencySP95"],
    "tokens": lambda each: each["tokensPerS"],
    "cpu": lambda each: each["cpuCores"],
    "memory": lambda each: each["memoryBytes"],
}


def header_line(sample: Sample) -> str:
    """Return the line above the table: the instance, its endpoint and the states of its services."""
    status = sample.status
    states = Counter(each["state"] for each in status["services"])
    shown = ", ".join(f"{number} {state}" for state, number in sorted(states.items(), key=lambda each: each[0]))
    parts = [status["instance"], f"{status['listen']}/v1", shown or "no services"]
    if status["specsRejected"]:
        parts.append("the specs have errors: see `bateau status`")
    return "   ".join(parts)


def table_text(sample: Sample, order: Order) -> str:
    """Return the table. It has a column of reasons if a service that is not ready has one."""
    from bateau.cli.table import table

    services = sample.ordered(order)
    rows = [(*_row(each, sample.of(each["service"])), _reason(each)) for each in services]
    if any(row[-1] for row in rows):
        return table((*HEADER, "REASON"), rows)
    return table(HEADER, [row[:-1] for row in rows])


def sample_json(sample: Sample, order: Order) -> ReadObject:
    """Return the JSON for programs; null is not known."""
    return {"instance": sample.status["instance"], "services": [_json(sample, each) for each in sample.ordered(order)]}


def _json(sample: Sample, each: ServiceTree) -> ReadObject:
    return {
        "service": each["service"],
        "state": each["state"],
        "reason": each["reason"],
        "replicasReady": each["replicasReady"],
        "replicasWanted": each["replicasWanted"],
        **cast("ReadObject", sample.of(each["service"])),
    }


def _row(service: ServiceTree, found: FigureTree) -> tuple[str, ...]:
    from bateau.ui.words import duration, memory, number, share

    ready = f"{service['replicasReady']}/{service['replicasWanted']}"
    tokens = _shown(found["tokensPerS"], number)
    return (
        service["service"],
        service["state"],
        _DASH if service["engine"] == "external" else ready,
        _shown(found["requestsPerS"], number),
        _shown(found["errors"], share),
        _shown(found["latencySP95"], duration),
        f">= {tokens}" if found["tokensMissing"] and tokens != _DASH else tokens,
        _shown(found["cpuCores"], _cores),
        _shown(found["memoryBytes"], memory),
    )


def _reason(service: ServiceTree) -> str:
    reason = visible_line(service["reason"] or service["blocked"] or "") if service["state"] != "Ready" else ""
    return reason if len(reason) <= _REASON_MAX else f"{reason[: _REASON_MAX - 1]}…"


def _shown(value: float | None, shown: Callable[[float], str]) -> str:
    return _DASH if value is None else shown(value)


def _cores(value: float) -> str:
    return f"{value:.2f}"


def _badness(state: str) -> int:
    return _STATES.index(state) if state in _STATES else _STATES.index("Starting")


def _or_least(value: float | None) -> float:
    return -1.0 if value is None else value
