"""Gather the counters of everything that runs into one page.

Called by wiring.local.
"""

import asyncio
from collections.abc import Mapping, Sequence

from bateau import __version__
from bateau.control.loop import Control
from bateau.domain.alert import Shown
from bateau.domain.issuer import SigningKeys
from bateau.domain.replica import Replica, ReplicaState
from bateau.domain.status import Status
from bateau.domain.workload import ServiceKey
from bateau.observe.events import CountedEvents
from bateau.observe.metrics import Page, add_envoy, add_llamacpp
from bateau.observe.usage_metrics import add_spans, add_usage
from bateau.traffic.envoy import EnvoyPlane
from bateau.wiring.accounts import Accounts
from bateau.wiring.alert_metrics import add_alerts, add_states
from bateau.wiring.filters import Filters
from bateau.wiring.sampling import Processes

# `bateau_gate` is of gateways that have run since an older version.
_ENVOY_FILTER = (
    "bateau\\.|bateau_gate\\.|upstream_rq_total$|upstream_rq_retry$|upstream_rq_active$|upstream_cx_active$|"
    "membership_healthy$"
)


async def metrics_page(
    control: Control,
    plane: EnvoyPlane,
    events: CountedEvents,
    filters: Filters,
    accounts: Accounts,
    signing_keys: Mapping[str, SigningKeys],
    processes: Processes,
    alerts: Sequence[Shown] = (),
) -> str:
    """Return the Prometheus page of an instance. `signing_keys` are those of issuers, by name.

    `alerts` are those that are shown.
    """
    page = Page()
    page.add("bateau_build_info", {"version": __version__}, 1, kind="gauge", says="Version of the control plane.")
    page.add(
        "bateau_gateway_filters_info",
        {"filters": filters.name, "why": filters.why},
        1,
        kind="gauge",
        says="Filters of the gateway, native or Envoy's own (stock), and why they were chosen.",
    )
    replicas = control.observed.replicas
    _add_replicas(page, replicas)
    _add_services(page, control.snapshots.latest, processes)
    _add_control(page, control)
    _add_affinity(page, control)
    _add_events(page, events)
    _add_issuers(page, signing_keys)
    add_states(page, control.snapshots.latest)
    add_alerts(page, alerts)
    add_usage(page, accounts.counters.shown)
    if accounts.spans:
        add_spans(page, accounts.spans.outcomes, failed_exports=accounts.spans.failed_exports)
    envoys, texts = await asyncio.gather(
        plane.ask(f"/stats/prometheus?filter={_ENVOY_FILTER}"), control.ports.site.runtime.metrics()
    )
    add_envoy(page, *(text for text in envoys if text is not None))
    services = {replica.id: ServiceKey(replica.service) for replica in replicas}
    for replica_id, text in texts.items():
        if text is not None and replica_id in services:
            add_llamacpp(page, text, model=services[replica_id].name, replica=replica_id)
    failed = sum(text is None for text in (*envoys, *texts.values()))
    page.add("bateau_scrape_failures", {}, failed, kind="gauge", says="Sources that could not be scraped.")
    return page.text()


def _add_services(page: Page, status: Status | None, processes: Processes) -> None:
    for each in (*status.services, status.gateway) if status else ():
        wanted, ready = (each.replicas_wanted, each.replicas_ready) if each.has_replicas else (None, None)
        for name, value, kind, says in (
            ("bateau_service_replicas_wanted", wanted, "gauge", "Replicas that a service should have."),
            ("bateau_service_replicas_ready", ready, "gauge", "Replicas of a service that are ready."),
            (
                "bateau_service_memory_bytes",
                processes.memory_bytes.get(each.service),
                "gauge",
                "Memory of all processes of a service, at most 15 seconds ago.",
            ),
            (
                "bateau_service_cpu_seconds_total",
                processes.cpu_s.get(each.service),
                "counter",
                "CPU time of all processes of a service, since the control plane began to measure it.",
            ),
        ):
            if value is not None:
                page.add(name, {"service": each.service}, f"{value:.15g}", kind=kind, says=says)


def _add_control(page: Page, control: Control) -> None:
    counts = control.counts
    for name, value, says in (
        ("bateau_control_turns_total", counts.turns, "Turns of the control loop."),
        ("bateau_control_turn_seconds_total", round(counts.turn_s, 6), "Seconds spent in turns of the control loop."),
        ("bateau_control_failed_turns_total", counts.failed_turns, "Turns of the control loop that ended with a bug."),
        ("bateau_control_reads_total", counts.reads, "Times that the specs were read."),
    ):
        page.add(name, {}, value, kind="counter", says=says)


def _add_issuers(page: Page, signing_keys: Mapping[str, SigningKeys]) -> None:
    for name, keys in signing_keys.items():
        for metric, value, says in (
            (
                "bateau_issuer_keys_refreshed_timestamp_seconds",
                round(keys.fetched_at, 3),
                "When the keys of an OIDC issuer were fetched last.",
            ),
            (
                "bateau_issuer_failing",
                int(keys.failing_since is not None),
                "1 while the keys of an OIDC issuer cannot be fetched; the last ones stay.",
            ),
        ):
            page.add(metric, {"issuer": name}, value, kind="gauge", says=says)


def _add_affinity(page: Page, control: Control) -> None:
    for model in sorted(control.traffic.affine):
        page.add(
            "bateau_affinity",
            {"gen_ai_request_model": model},
            int(control.affinity.is_on(model)),
            kind="gauge",
            says="1 while the turns of a conversation go to one replica, 0 while spec.affinity has no effect.",
        )


def _add_events(page: Page, events: CountedEvents) -> None:
    for reason, warning, number in events.counts():
        page.add(
            "bateau_events_total",
            {"reason": reason, "type": "Warning" if warning else "Normal"},
            number,
            kind="counter",
            says="Events reported by the control plane, by reason and type as in Kubernetes.",
        )


def _add_replicas(page: Page, replicas: Sequence[Replica]) -> None:
    for replica in replicas:
        labels = {"service": replica.service, "replica": replica.id}
        for state in ReplicaState:
            page.add(
                "bateau_replica_state",
                {**labels, "state": state},
                int(replica.state is state),
                kind="gauge",
                says="1 for the state that a replica is in.",
            )
        page.add(
            "bateau_replica_restarts_total", labels, replica.restarts, kind="counter", says="Restarts of a replica."
        )
