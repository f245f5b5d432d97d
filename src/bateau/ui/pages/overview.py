"""The overview: every service with its state and figures, and who uses whom.

Called by ui.pages.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Final

import htpy as h
from markupsafe import Markup

from bateau.domain.figures import ServiceFigures
from bateau.domain.problem import Problem, Severity
from bateau.domain.sparklines import Sparkline
from bateau.domain.status import ServiceStatus
from bateau.ui.alerts import firing_section
from bateau.ui.graph import graph
from bateau.ui.page import Part, Screen, View
from bateau.ui.rows import FIRST
from bateau.ui.sparkline import sparkline
from bateau.ui.words import (
    NO_REQUESTS,
    NOT_APPLICABLE,
    UNKNOWN,
    duration,
    figure,
    memory,
    number,
    safe,
    share,
    state,
    tone,
)

HOUR: Final = "Last hour"
COLUMNS = ("Requests/s", "Errors", "Latency p95", "Tokens/s", "Memory")


def make(view: View, _parts: Mapping[str, str]) -> Screen:
    """Return the page."""
    return Screen(
        title="Overview",
        parts=(
            Part(id="summary", make=partial(_summary, view)),
            Part(id="alerts", make=partial(firing_section, view.alerts.firing, view.role), of=(view.alerts,)),
            Part(id="problems", make=partial(problems, view.status.problems)),
            Part(id="services", make=partial(_services, view), rows="services-rows"),
            Part(id="graph", make=partial(_kept_graph, view), later=len(view.status.services) > FIRST),
        ),
        scripts=("alerts.js",),
    )


def _summary(view: View) -> h.Element:
    status = view.status
    states = Counter(str(each.state) for each in status.services)
    facts = [
        ("Endpoint", f"{status.listen}/v1"),
        ("From other machines", f"{status.remote}/v1" if status.remote else None),
        ("Follows", safe(status.directory)),
        ("Environment", status.environment),
    ]
    return h.section("#summary", aria_label="Summary")[
        h.div(".heading")[h.h1["Overview"], view.role == "admin" and h.a(".button", href="/ui/new")["New service"]],
        h.p(".counts")[
            [h.span(class_=["state", tone(name)])[f"{number:,} {name}"] for name, number in sorted(states.items())]
            or h.span(".state.idle")["no services"]
        ],
        h.dl(".facts")[(h.div[h.dt[name], h.dd[value]] for name, value in facts if value)],
    ]


def problems(found: tuple[Problem, ...]) -> h.Element:
    """Return the errors and warnings, each with its fix; errors first."""
    ordered = sorted(found, key=lambda each: each.severity is not Severity.ERROR)
    return h.section("#problems", aria_label="Problems", hidden=not found)[
        h.h2["Problems"],
        h.ul[(_problem(each) for each in ordered)],
    ]


def _problem(each: Problem) -> h.Element:
    return h.li(class_="bad" if each.severity is Severity.ERROR else "warn")[
        h.strong[str(each.severity)],
        " ",
        each.where and h.code[safe(str(each.where))],
        h.span[safe(each.says)],
        each.hint and h.span(".hint")[f"hint: {safe(each.hint)}"],
    ]


def _services(view: View) -> h.Element:
    return h.section("#services.panel", aria_labelledby="services-title")[
        h.div(".bar")[
            h.h2("#services-title")["Services"],
            h.input(
                "#filter",
                type="search",
                placeholder="Filter",
                aria_label="Filter services",
                data_filter="services-rows",
            ),
        ],
        h.div(".scroll", tabindex="0", role="region", aria_label="Table of services")[
            h.table[
                h.thead[
                    h.tr[
                        h.th(scope="col")["Service"],
                        h.th(scope="col")["State"],
                        h.th(".number", scope="col")["Replicas"],
                        h.th(".number", scope="col")[HOUR],
                        (h.th(".number", scope="col")[each] for each in COLUMNS),
                    ]
                ],
                h.tbody("#services-rows")[
                    (_kept_row(view, each) for each in (*view.status.services, view.status.gateway))
                ],
            ]
        ],
        unmeasured(view),
    ]


def unmeasured(view: View) -> h.Node:
    """Return why memory and CPU are not known, if there is one reason for all services."""
    why = view.figures.unmeasured
    return why and h.p(".note")[f"CPU and memory are unknown: {safe(why)}"]


def _kept_graph(view: View) -> Markup:
    states = tuple(str(each.state) for each in view.services.values())
    return view.keep("graph", partial(graph, view), same=(view.release,), equal=states)


def _kept_row(view: View, each: ServiceStatus) -> Markup:
    key = each.service
    values = (view.figures.of(key), view.is_model(key), view.has_requests(key), each is view.status.gateway)
    same = (each, _sparkline_of(view, each.service))
    return view.keep(f"row {each.service}", partial(service_row, view, each), same=same, equal=values)


def service_row(view: View, each: ServiceStatus) -> h.Element:
    """Return the row of a service."""
    kind, _, name = each.service.partition("/")
    reason = each.reason or each.blocked
    wanted = f"{each.replicas_ready}/{each.replicas_wanted}"
    return h.tr(id=f"row-{kind}-{name}")[
        h.th(scope="row")[h.a(href=f"/ui/services/{kind}/{name}")[name], " ", h.span(".kind")[kind]],
        h.td[state(str(each.state)), reason and h.span(".reason", title=safe(reason))[safe(reason)]],
        h.td(".number", data_name="Replicas")[wanted if each.engine != "external" else NOT_APPLICABLE],
        h.td(".number.hour", data_name=HOUR)[_hour(view, each)],
        (h.td(".number", data_name=column)[value] for column, value in zip(COLUMNS, _figures(view, each), strict=True)),
    ]


def _sparkline_of(view: View, service: str) -> Sparkline | None:
    return found.get(service) if (found := view.reports.sparklines) else None


def _hour(view: View, each: ServiceStatus) -> h.Node:
    """Return the requests of the last hour as a drawing. An unknown hour has none."""
    found = _sparkline_of(view, each.service)
    if found is None and not view.has_requests(each.service):
        return NOT_APPLICABLE
    return sparkline(found) if found and any(value is not None for value in found.requests) else UNKNOWN


def _figures(view: View, each: ServiceStatus) -> Iterator[h.Node]:
    found = view.figures.of(each.service)
    yield from figures(found, is_model=view.is_model(each.service), is_gateway=each is view.status.gateway)


def figures(found: ServiceFigures, *, is_model: bool, is_gateway: bool) -> Iterator[h.Node]:
    """Yield the figures of a service, as in the columns of the table."""
    if is_gateway:
        yield from [NOT_APPLICABLE] * 4
    else:
        yield figure(found.requests_per_s, number)
        is_idle = found.requests_per_s == 0
        yield NO_REQUESTS if is_idle else figure(found.errors, share)
        yield NO_REQUESTS if is_idle else figure(found.latency_s_p95, duration)
        yield figure(found.tokens_per_s, number, least=found.tokens_missing) if is_model else NOT_APPLICABLE
    yield figure(found.memory_bytes, memory)
