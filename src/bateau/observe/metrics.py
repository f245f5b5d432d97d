"""Merge the counters of Envoy, the model servers and the control plane into one Prometheus page.

Called by observe.gateway_usage, observe.usage_metrics and wiring. No request waits for it: counters are read when
someone scrapes. Sources: Prometheus text exposition format 0.0.4; OpenTelemetry semantic conventions for generative AI
metrics (gen_ai.server.request.duration, gen_ai.server.time_to_first_token), in their Prometheus spelling.

Invariant: every family has its HELP and TYPE once. A server that cannot be scraped is left out and counted, not zero.
Held by tests/traffic/test_metrics.py and tests/wiring/test_metrics_page.py.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from bateau.domain.promql import TIME_TO_FIRST_BYTE, TIME_TO_FIRST_TOKEN

_SAMPLE = re.compile(r"^(?P<name>[a-zA-Z_:][\w:]*)(?:\{(?P<labels>.*)\})? (?P<value>\S+)")
_LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')

# llama.cpp's own names, and the names on the page. Colons are reserved for recording rules.
_LLAMACPP = {
    "llamacpp:prompt_tokens_total": (
        "bateau_model_prompt_tokens_total",
        "counter",
        "Prompt tokens computed, excluding those from the cache.",
    ),
    "llamacpp:prompt_tokens_cached_total": (
        "bateau_model_prompt_tokens_cached_total",
        "counter",
        "Prompt tokens taken from the cache.",
    ),
    "llamacpp:tokens_predicted_total": ("bateau_model_generated_tokens_total", "counter", "Tokens generated."),
    "llamacpp:prompt_seconds_total": ("bateau_model_prompt_seconds_total", "counter", "Seconds spent on prompts."),
    "llamacpp:tokens_predicted_seconds_total": (
        "bateau_model_generation_seconds_total",
        "counter",
        "Seconds spent on generation.",
    ),
    "llamacpp:n_decode_total": ("bateau_model_decodes_total", "counter", "Calls to llama_decode."),
    "llamacpp:requests_processing": ("bateau_model_requests_processing", "gauge", "Requests currently in a slot."),
    "llamacpp:requests_deferred": ("bateau_model_requests_waiting", "gauge", "Requests currently waiting for a slot."),
}
_ENVOY_PASSED = {
    "envoy_cluster_upstream_rq_total": ("counter", "Requests sent to replicas."),
    "envoy_cluster_upstream_rq_retry": ("counter", "Requests retried on another replica."),
    "envoy_cluster_upstream_rq_active": ("gauge", "Requests in flight."),
    "envoy_cluster_upstream_cx_active": ("gauge", "Connections open."),
    "envoy_cluster_membership_healthy": ("gauge", "Replicas that accept requests."),
}
# Counters of the native filter.
_GATE = {
    "envoy_bateau_gate_lines_written": ("bateau_ledger_lines_total", "Lines of the ledger that were written."),
    "envoy_bateau_gate_lines_lost": ("bateau_ledger_lines_lost_total", "Lines of the ledger that were lost."),
    "envoy_bateau_gate_panics": ("bateau_gateway_panics_total", "Requests that met a bug in the native filter."),
}
_MS = 1000.0


@dataclass
class Page:
    """A page of metrics under construction."""

    _families: dict[str, tuple[str, str, list[str]]] = field(default_factory=dict[str, tuple[str, str, list[str]]])

    def add(
        self, name: str, labels: Mapping[str, str], value: float | str, *, kind: str, says: str, suffix: str = ""
    ) -> None:
        """Add one sample to family `name`."""
        _, _, samples = self._families.setdefault(name, (kind, says, []))
        shown = ",".join(f'{key}="{_escaped(text)}"' for key, text in labels.items())
        samples.append(f"{name}{suffix}{{{shown}}} {value}" if shown else f"{name}{suffix} {value}")

    def text(self) -> str:
        """Return the page."""
        lines: list[str] = []
        for name, (kind, says, samples) in sorted(self._families.items()):
            lines += [f"# HELP {name} {says}", f"# TYPE {name} {kind}", *samples]
        return "\n".join(lines) + "\n"


def add_envoy(page: Page, *texts: str) -> None:
    """Add the counters of every Envoy, summed: requests and times by model, and the counters that keep their names.

    The buckets of the native filter are counters, and Envoy lists counters by the letters of their labels.
    """
    for name, labels, value in sorted(_summed(texts), key=lambda each: float(each[1].get("le", 0))):
        if name == "envoy_bateau_requests":
            shown = {"gen_ai_request_model": labels["route"], "http_response_status_code": labels["code"]}
            page.add(
                "bateau_requests_total", shown, value, kind="counter", says="Requests answered, by route and status."
            )
        elif gate := _GATE.get(name):
            page.add(gate[0], {}, value, kind="counter", says=gate[1])
        elif name.startswith("envoy_bateau_request_duration"):
            _add_seconds(
                page,
                "gen_ai_server_request_duration_seconds",
                name,
                labels,
                value,
                says="Time from request to last byte.",
            )
        elif name.startswith("envoy_bateau_time_to_first_token"):
            _add_seconds(
                page,
                TIME_TO_FIRST_TOKEN,
                name,
                labels,
                value,
                says="Time from request to first byte of the body.",
            )
        elif name.startswith("envoy_bateau_time_to_first_byte"):
            _add_seconds(
                page,
                TIME_TO_FIRST_BYTE,
                name,
                labels,
                value,
                says="Time from request to first byte of the answer of an app.",
            )
        elif name in _ENVOY_PASSED:
            kind, says = _ENVOY_PASSED[name]
            family = f"{name}_total" if kind == "counter" and not name.endswith("_total") else name
            page.add(family, {"cluster": labels.get("envoy_cluster_name", "")}, value, kind=kind, says=says)


def add_llamacpp(page: Page, text: str, *, model: str, replica: str) -> None:
    """Add one llama.cpp server's counters."""
    for name, _, value in samples(text):
        if name in _LLAMACPP:
            family, kind, says = _LLAMACPP[name]
            page.add(family, {"gen_ai_request_model": model, "replica": replica}, value, kind=kind, says=says)


def _add_seconds(page: Page, family: str, name: str, labels: Mapping[str, str], value: str, *, says: str) -> None:
    """Convert one sample of Envoy's histogram from milliseconds to seconds."""
    shown = {"gen_ai_request_model": labels["route"]}
    if name.endswith("_bucket"):
        edge = labels["le"]
        shown["le"] = edge if edge == "+Inf" else f"{float(edge) / _MS:g}"
        page.add(family, shown, value, kind="histogram", says=says, suffix="_bucket")
    elif name.endswith("_sum"):
        page.add(family, shown, f"{float(value) / _MS:g}", kind="histogram", says=says, suffix="_sum")
    elif name.endswith("_count"):
        page.add(family, shown, value, kind="histogram", says=says, suffix="_count")


def _summed(texts: Sequence[str]) -> Iterable[tuple[str, Mapping[str, str], str]]:
    """Sum samples over the proxies of one gateway: two run while one replaces the other."""
    found: dict[tuple[str, tuple[tuple[str, str], ...]], list[str]] = {}
    for text in texts:
        for name, labels, value in samples(text):
            found.setdefault((name, tuple(labels.items())), []).append(value)
    for (name, labels), values in found.items():
        # Each proxy knows all replicas.
        total = max if name == "envoy_cluster_membership_healthy" else sum
        yield name, dict(labels), values[0] if len(values) == 1 else f"{total(map(float, values)):.15g}"


def samples(text: str) -> Iterable[tuple[str, Mapping[str, str], str]]:
    """Yield the name, labels and value of each sample of a Prometheus page."""
    for line in text.splitlines():
        if not line.startswith("#") and (found := _SAMPLE.match(line)):
            yield found["name"], dict(_labels(found["labels"] or "")), found["value"]


def _labels(text: str) -> Sequence[tuple[str, str]]:
    return [(key, value.replace('\\"', '"').replace("\\\\", "\\")) for key, value in _LABEL.findall(text)]


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
