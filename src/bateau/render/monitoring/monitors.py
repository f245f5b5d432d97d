"""Render monitors that look at services from outside: who watches the watcher.

Called by cli.monitors and render.monitoring.rules. Pure. Source: Prometheus blackbox exporter, CONFIGURATION.md;
Prometheus Operator, Probe (monitoring.coreos.com/v1); Ingress Monitor Controller, EndpointMonitor
(endpointmonitor.stakater.com/v1alpha1).

Invariant: no monitor contains a key: it names the file that has one. Held by
tests/monitoring/test_monitors.py::test_a_key_is_named_by_its_file.
"""

import json
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from bateau.domain.workload import Workload
from bateau.kit.json_value import Json, JsonObject

JOB: Final = "bateau-monitors"
GATEWAY: Final = "gateway/envoy"
_GET: Final = "bateau_get"
_GET_WITH_KEY: Final = "bateau_get_with_key"
_ASK: Final = "bateau_ask"
_INTERVAL: Final = "30s"
_TIMEOUT: Final = "10s"
_ASK_INTERVAL: Final = "2m"  # Prometheus forgets a sample after five
_ASK_TIMEOUT: Final = "60s"


@dataclass(frozen=True, kw_only=True)
class Monitor:
    """An address that is asked for. With `question`, a POST with this body must be answered."""

    service: str
    url: str
    needs_key: bool = False
    question: JsonObject | None = None

    @property
    def module(self) -> str:
        """The module of the blackbox exporter."""
        if self.question is not None:
            return f"{_ASK}_{re.sub('[^a-zA-Z0-9]', '_', self.service)}"
        return _GET_WITH_KEY if self.needs_key else _GET

    @property
    def name(self) -> str:
        """The name of an object for it."""
        words = "ask" if self.question is not None else "get"
        return f"bateau-{words}-{re.sub('[^a-z0-9]+', '-', self.service.lower())}"[:63].strip("-")


def monitors_of(services: Sequence[Workload], urls: Mapping[str, str], *, asked: Collection[str]) -> Iterator[Monitor]:
    """Yield the monitors of services that have a route or an address.

    `urls` has the addresses by the keys of services; that of the gateway is the endpoint of all models. The models
    `asked`, by their names, must answer there with a token.
    """
    endpoint = urls.get(GATEWAY, "").rstrip("/")
    if endpoint:
        yield Monitor(service=GATEWAY, url=f"{endpoint}/healthz")
    for each in services:
        own = [urls[each.key]] if each.key in urls else [*_addresses(each)]
        for url in own:
            yield Monitor(service=each.key, url=_with_path(url, each))
        if endpoint and each.is_named_in_bodies:
            yield Monitor(service=each.key, url=f"{endpoint}/v1/models/{each.name}", needs_key=True)
            if each.name in asked:
                question: JsonObject = {
                    "model": each.name,
                    "messages": [{"role": "user", "content": "Say yes."}],
                    "max_tokens": 1,
                }
                url = f"{endpoint}/v1/chat/completions"
                yield Monitor(service=each.key, url=url, needs_key=True, question=question)


def _addresses(service: Workload) -> Iterator[str]:
    """Yield the addresses of a service on a cluster."""
    first = next(iter(service.ports.values()), None)
    if service.route and not (first and first.protocol in ("grpc", "tcp")):
        gateway = service.route.gateway
        # A Gateway that exists already has a certificate; one that Bateau makes has one if the spec names it.
        scheme = "http" if gateway.class_name and not gateway.certificate else "https"
        yield from (f"{scheme}://{name}" for name in service.route.hostnames if not name.startswith("*"))


def _with_path(url: str, service: Workload) -> str:
    """Return an address with the path that says if the service works, unless it has a path."""
    if url.partition("://")[2].partition("/")[2]:
        return url
    path = service.health.path or ("/v1/models" if service.is_named_in_bodies else "/")
    return url.rstrip("/") + path


def blackbox_modules(monitors: Sequence[Monitor], *, key_file: str | None) -> JsonObject:
    """Return the configuration of the blackbox exporter."""
    modules = {each.module: _module(each, key_file) for each in monitors}
    return {"modules": {name: modules[name] for name in sorted(modules)}}


def _module(monitor: Monitor, key_file: str | None) -> JsonObject:
    http: JsonObject = {"preferred_ip_protocol": "ip4"}  # and IPv6 where there is no IPv4
    if monitor.needs_key and key_file:
        http["authorization"] = {"type": "Bearer", "credentials_file": key_file}
    if monitor.question is None:
        return {"prober": "http", "timeout": _TIMEOUT, "http": http}
    http |= {
        "method": "POST",
        "headers": {"content-type": "application/json"},
        "body": json.dumps(monitor.question),
        "fail_if_body_not_matches_regexp": ['"choices"'],
    }
    return {"prober": "http", "timeout": _ASK_TIMEOUT, "http": http}


def scrape_config(monitors: Sequence[Monitor], *, prober: str) -> JsonObject:
    """Return the scrape configuration of Prometheus for the monitors, whose exporter is at HOST:PORT."""
    jobs: list[Json] = []
    for asks in (False, True):
        found = [each for each in monitors if (each.question is not None) is asks]
        targets: list[Json] = [
            {"targets": [each.url], "labels": {"service": each.service, "__param_module": each.module}}
            for each in found
        ]
        if not targets:
            continue
        jobs.append(
            {
                "job_name": f"{JOB}-ask" if asks else JOB,
                "metrics_path": "/probe",
                "scrape_interval": _ASK_INTERVAL if asks else _INTERVAL,
                "scrape_timeout": _ASK_TIMEOUT if asks else _TIMEOUT,
                "static_configs": targets,
                "relabel_configs": [
                    {"source_labels": ["__address__"], "target_label": "__param_target"},
                    {"source_labels": ["__param_target"], "target_label": "instance"},
                    {"source_labels": ["__param_module"], "target_label": "module"},
                    {"target_label": "__address__", "replacement": prober},
                ],
            }
        )
    return {"scrape_configs": jobs}


def probes(monitors: Sequence[Monitor], *, prober: str, namespace: str | None) -> list[JsonObject]:
    """Return a Probe for each monitor. Its exporter has the modules of `blackbox_modules`."""
    return [
        {
            "apiVersion": "monitoring.coreos.com/v1",
            "kind": "Probe",
            "metadata": _metadata(name, namespace),
            "spec": {
                "jobName": JOB if each.question is None else f"{JOB}-ask",
                "interval": _INTERVAL if each.question is None else _ASK_INTERVAL,
                "scrapeTimeout": _TIMEOUT if each.question is None else _ASK_TIMEOUT,
                "module": each.module,
                "prober": {"url": prober},
                "targets": {"staticConfig": {"static": [each.url], "labels": {"service": each.service}}},
            },
        }
        for name, each in _named(monitors)
    ]


def endpoint_monitors(monitors: Sequence[Monitor], *, namespace: str | None) -> list[JsonObject]:
    """Return an EndpointMonitor for each address that needs no key and no question."""
    return [
        {
            "apiVersion": "endpointmonitor.stakater.com/v1alpha1",
            "kind": "EndpointMonitor",
            "metadata": _metadata(name, namespace),
            "spec": {"forceHttps": each.url.startswith("https:"), "url": each.url},
        }
        for name, each in _named(monitors)
        if each.question is None and not each.needs_key
    ]


def _named(monitors: Sequence[Monitor]) -> Iterator[tuple[str, Monitor]]:
    """Yield each monitor with a name that no other one has."""
    used: dict[str, int] = {}
    for each in monitors:
        used[each.name] = used.get(each.name, 0) + 1
        yield each.name if used[each.name] == 1 else f"{each.name[:59].strip('-')}-{used[each.name]}", each


def _metadata(name: str, namespace: str | None) -> JsonObject:
    metadata: JsonObject = {"name": name, "labels": {"app.kubernetes.io/name": "bateau"}}
    if namespace:
        metadata["namespace"] = namespace
    return metadata
