"""The path of a request for a model, as JSON and as lines that people read.

Called by cli.explain_route.
"""

from collections.abc import Mapping

from bateau.api.encoding import plain
from bateau.api.trees import ServiceTree, StatusTree
from bateau.domain.balanced import Balanced
from bateau.domain.workload import Workload
from bateau.kit.json_value import Json


def route_json(service: Workload, status: StatusTree | None, last_hour: Mapping[str, Balanced]) -> dict[str, Json]:
    """Return the path of a request; without a `status`, everything that only a running instance knows is null."""
    running = _running(service, status)
    routing = service.routing
    return {
        "service": service.key,
        "endpoint": status["listen"] if status else None,
        "names": [service.name, *service.served_names],
        "timeoutS": routing.timeout_s,
        "split": dict(routing.split),
        "fallback": routing.fallback,
        "replicas": plain(_replicas(running)) if running else None,
        "affinity": plain(running.get("affinity")) if running else None,
        "lastHour": plain(dict(last_hour)),
    }


def route_lines(
    service: Workload, status: StatusTree | None, last_hour: Mapping[str, Balanced]
) -> list[tuple[str, str]]:
    """Return the path of a request, step by step."""
    running, routing = _running(service, status), service.routing
    names = " or ".join(f'"{name}"' for name in (service.name, *service.served_names))
    lines = [("request", f'{status["listen"] if status else "unknown"}/v1, with "model": {names}')]
    if routing.timeout_s is not None:
        lines.append(("timeout", f"{routing.timeout_s:g} s for the whole answer"))
    lines += [("split", f"{percent} % to {name}") for name, percent in routing.split]
    if running is None:
        lines.append(("replicas", "unknown: the model does not run"))
    elif service.key != running["service"] or running["engine"] == "external":
        lines.append(("provider", running["source"] or "unknown"))
    else:
        replicas = _replicas(running)
        shown = ", ".join(f"{name} ({state})" if state != "Ready" else name for name, state in replicas.items())
        lines.append(("replicas", shown or "none"))
        lines += _affinity_lines(running, last_hour)
    if routing.fallback:
        lines.append(("fallback", f"{routing.fallback}, if these cannot answer"))
    return lines


def _affinity_lines(running: ServiceTree, last_hour: Mapping[str, Balanced]) -> list[tuple[str, str]]:
    affinity = running.get("affinity")
    if affinity is None:
        return [("affinity", "unknown")]
    lines = [("affinity", f"{'on' if affinity['on'] else 'off'}: {affinity['says']}")]
    words = {"prefix": "by conversation", "requests": "to compare, by fewest requests"}
    lines += [("last hour", f"{_told(each)} {words[kind]}") for kind, each in last_hour.items() if each.requests]
    return lines


def _told(each: Balanced) -> str:
    first_byte = "unknown" if each.first_byte_ms is None else f"{each.first_byte_ms:.0f} ms"
    cached = "unknown" if each.cached is None else f"{each.cached:.0%}"
    requests = "1 request" if each.requests == 1 else f"{each.requests} requests"
    return f"first byte after {first_byte}, {cached} of prompts cached, in {requests}"


def _running(service: Workload, status: StatusTree | None) -> ServiceTree | None:
    return next((each for each in status["services"] if each["service"] == service.key), None) if status else None


def _replicas(running: ServiceTree) -> Mapping[str, str]:
    """Return the state of each replica, by its id."""
    return {each["id"]: "draining" if each["draining"] else each["state"] for each in running["replicas"]}
