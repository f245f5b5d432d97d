"""The page of a service: its replicas, its log, its spec with the origin of every field, and a chat with a model.

Called by ui.pages.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Final

import htpy as h

from bateau.domain.charts import SPANS
from bateau.domain.replica import Replica
from bateau.domain.status import ServiceStatus
from bateau.domain.timeline import service_of
from bateau.domain.workload import Workload
from bateau.ui.alerts import firing_section
from bateau.ui.charts import chart_parts
from bateau.ui.events import events_table
from bateau.ui.page import Part, Screen, View
from bateau.ui.pages.overview import COLUMNS, figures, unmeasured
from bateau.ui.plan_view import editor_path
from bateau.ui.service_usage import usage_parts
from bateau.ui.spec_tree import spec_tree
from bateau.ui.words import DASH, count, memory, safe, state

EVENTS_MAX: Final = 15


def make(view: View, parts: Mapping[str, str]) -> Screen | None:
    """Return the page, None if there is no such service."""
    key = f"{parts['kind']}/{parts['name']}"
    service, workload = view.services.get(key), view.workloads.get(key)
    if service is None or parts.get("span", "hour") not in SPANS:
        return None
    # The gateways of a cluster are pods of no service.
    has_log = view.has_logs and not (view.on_cluster and service is view.status.gateway)
    found = [
        Part(id="summary", make=partial(_summary, view, service)),
        Part(id="alerts", make=partial(_alerts, view, key), of=(view.alerts,)),
        Part(id="figures", make=partial(_figures, view, service)),
        *chart_parts(view, key),
        Part(id="replicas", make=partial(_replicas, service.replicas), of=(service.replicas,)),
        *(
            [Part(id="chat", make=partial(_chat, parts["name"], view.needs_key), live=False)]
            if _answers(service) and not view.on_cluster
            else []
        ),
        *usage_parts(view, key),
        *([Part(id="log", make=_log, live=False)] if has_log else []),
        Part(id="events", make=partial(_events, view, key), of=(view.events,)),
    ]
    if workload and workload.tree:
        found.append(Part(id="spec", make=partial(_spec, workload), of=(workload,)))
    scripts = ("service.js", "charts.js", "alerts.js")
    return Screen(title=parts["name"], parts=found, log_of=key if has_log else None, scripts=scripts)


def _alerts(view: View, key: str) -> h.Element:
    found = [each for each in view.alerts.firing if each.alert.service == key]
    return firing_section(found, view.role, with_service=False)


def _events(view: View, key: str) -> h.Element:
    found = [each for each in view.events or () if service_of(each.event) == key][-EVENTS_MAX:]
    return h.section("#events.panel", aria_labelledby="events-title", hidden=not found)[
        h.div(".bar")[h.h2("#events-title")["Events"]],
        events_table(view, found, with_service=False),
    ]


def _answers(service: ServiceStatus) -> bool:
    """Whether it can be asked in a chat; an external API says nothing about its tasks."""
    return service.task == "generate" or service.engine == "external"


def _summary(view: View, service: ServiceStatus) -> h.Element:
    kind, _, name = service.service.partition("/")
    workload = view.workloads.get(service.service)
    may_restart = (
        view.role != "view"
        and not view.on_cluster
        and service.service in view.workloads
        and service.engine != "external"
    )
    return h.section("#summary", aria_label="Summary")[
        h.div(".heading")[
            h.h1[name, " ", h.span(".kind")[kind]],
            state(str(service.state)),
            may_restart
            and h.button(
                "#restart",
                type="button",
                data_action=f"/ui/services/{kind}/{name}/restart",
                data_confirm=f"Restart {name}? A new replica is ready before an old one is drained and stopped.",
            )["Restart"],
            view.role == "admin" and workload and h.a(".button", href=editor_path(workload.position.file))["Edit"],
            h.span("#done", role="status", data_keep="children"),
        ],
        (h.p(class_=["says", each])[safe(text)] for each, text in _says(service)),
        h.dl(".facts")[(h.div[h.dt[term], h.dd[value]] for term, value in _facts(view, service))],
    ]


def _says(service: ServiceStatus) -> Iterator[tuple[str, str]]:
    if service.reason:
        yield "", service.reason
    if service.blocked and service.blocked not in (service.reason or ""):
        yield "warn", service.blocked
    if service.rejected and service.rejected not in (service.reason or ""):
        yield "bad", service.rejected
    if service.draining:
        yield "", f"draining: {', '.join(service.draining)}"


def _facts(view: View, service: ServiceStatus) -> Iterator[tuple[str, h.Node]]:
    workload, capacity = view.workloads.get(service.service), service.capacity
    yield "Engine", service.engine
    if service.address:
        yield "Address", service.address
    if service.source:
        yield "Source", safe(service.source)
    if capacity:
        size = "unknown" if capacity.memory_bytes is None else memory(capacity.memory_bytes)
        slots = count(capacity.slots, "slot")
        yield "Each replica", f"{slots} of {capacity.context:,} tokens, {capacity.threads} threads, about {size}"
    if service.affinity:
        yield "Conversations", service.affinity.says
    if workload and workload.labels:
        yield "Labels", safe(", ".join(f"{name}={value}" for name, value in workload.labels.items()))
    if uses := workload.uses if workload else ():
        yield "Uses", _links(uses)
    if used_by := [each.key for each in view.release.services if service.service in each.uses]:
        yield "Used by", _links(used_by)


def _links(keys: Sequence[str]) -> h.Node:
    return [[index > 0 and ", ", h.a(href=f"/ui/services/{key}")[key]] for index, key in enumerate(keys)]


def _figures(view: View, service: ServiceStatus) -> h.Element:
    found = view.figures.of(service.service)
    is_gateway = service is view.status.gateway
    shown = zip(COLUMNS, figures(found, is_model=view.is_model(service.service), is_gateway=is_gateway), strict=True)
    over = f"over the last {found.seconds:.0f} s" if found.seconds else "not measured yet"
    return h.section("#figures", aria_label="Figures")[
        h.dl(".tiles")[
            h.div[h.dt["Replicas ready"], h.dd[f"{service.replicas_ready}/{service.replicas_wanted}"]],
            (h.div[h.dt[name], h.dd[value]] for name, value in shown),
        ],
        h.p(".note")[f"Requests and tokens {over}; the latency is estimated from a histogram."],
        unmeasured(view),
    ]


def _replicas(replicas: Sequence[Replica]) -> h.Element:
    columns = ("Replica", "State", "Since (UTC)", "Restarts", "Process", "Address")
    return h.section("#replicas.panel", aria_labelledby="replicas-title")[
        h.div(".bar")[h.h2("#replicas-title")["Replicas"]],
        h.div(".scroll", tabindex="0", role="region", aria_label="Table of replicas")[
            h.table[
                h.thead[h.tr[(h.th(scope="col")[each] for each in columns)]],
                h.tbody[(_replica(each) for each in replicas)],
            ]
        ]
        if replicas
        else h.p(".empty")["No replica runs on this machine."],
    ]


def _replica(each: Replica) -> h.Element:
    notes = [
        each.reason,
        "it gets no new requests" if each.draining else None,
        "adopted from an earlier control plane" if each.adopted else None,
        f"limits: {each.limits}" if each.limits else None,
        *(f"{file.path} was {file.how} since it started" for file in each.changed_files or ()),
    ]
    return h.tr(id=f"replica-{each.id}")[
        h.th(scope="row")[each.id],
        h.td[state(str(each.state)), (h.span(".reason")[safe(note)] for note in notes if note)],
        h.td[_since(each.since)],
        h.td[str(each.restarts)],
        h.td[f"pid {each.pid}" if each.pid else "none"],
        h.td(".addresses")[
            (h.span[f"{name} {_short(address)}"] for name, address in each.addresses.items())
            if each.addresses
            else DASH
        ],
    ]


def _since(seconds: float) -> h.Node:
    if not seconds:
        return "unknown"
    at = datetime.fromtimestamp(seconds, tz=UTC)
    return h.time(datetime=at.isoformat(timespec="seconds"))[at.strftime("%Y-%m-%d %H:%M:%S")]


def _short(address: str) -> str:
    return f"…/{address.rpartition('/')[2]}" if address.startswith("/") else address


def _log() -> h.Element:
    return h.section("#log.panel", aria_labelledby="log-title")[
        h.div(".bar")[
            h.h2("#log-title")["Log"],
            h.span("#log-count.note", role="status"),
            h.input("#log-search", type="search", placeholder="Search", aria_label="Search the log"),
            h.button("#log-pause", type="button", aria_pressed="false")["Pause"],
        ],
        h.div("#log-lines.lines", tabindex="0", role="region", aria_label="Lines of the log"),
        h.p("#log-empty.empty")["No lines yet."],
    ]


def _chat(name: str, needs_key: bool) -> h.Element:
    key = h.label["API key", h.input("#chat-key", type="password", autocomplete="off", spellcheck="false")]
    return h.section("#chat.panel", aria_labelledby="chat-title", data_model=name)[
        h.div(".bar")[
            h.h2("#chat-title")["Chat"],
            h.span("#chat-figures.note", role="status"),
            h.button("#chat-clear.quiet", type="button")["Clear"],
        ],
        h.div("#chat-messages.messages", role="log", aria_label="Messages", tabindex="0"),
        h.form("#chat-form")[
            needs_key and key,
            h.textarea("#chat-text", rows="2", aria_label=f"Message to {name}", placeholder=f"Ask {name}"),
            h.button("#chat-send.main", type="submit")["Send"],
        ],
    ]


def _spec(workload: Workload) -> h.Element:
    return h.section("#spec.panel", aria_labelledby="spec-title")[
        h.div(".bar")[
            h.h2("#spec-title")["Spec"],
            h.span(".note")["each field with its origin"],
            h.label(".check")[h.input("#spec-defaults", type="checkbox"), " Defaults"],
        ],
        spec_tree(workload),
    ]
