"""Machines and clusters: what this machine has, who uses what, what still fits, and where environments run.

Called by ui.pages.

Invariant: an unknown figure is shown as unknown, and a cluster that was not asked as not checked. Held by
tests/ui/test_machines_page.py::test_what_is_not_known_is_not_shown_as_zero.
"""

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Final

import htpy as h

from bateau.control.places import ClusterPlace, EnvironmentPlace
from bateau.domain.inventory import Machine
from bateau.domain.machine_report import Accelerator
from bateau.domain.status import ServiceStatus
from bateau.domain.workload import Workload
from bateau.place import Room
from bateau.ui.page import Part, Screen, View
from bateau.ui.sums import bar
from bateau.ui.words import DASH, count, figure, memory, number, safe, share, state
from bateau.wiring.machine_reports import MachineReport

_NEARLY: Final = 0.9
_LITTLE: Final = 0.01  # of a core
_MIB: Final = 2**20  # sizes are measured to a MiB


def make(view: View, _parts: Mapping[str, str]) -> Screen:
    """Return the page."""
    machine, written = view.reports.machine, view.reports.written
    return Screen(
        title="Machines and clusters",
        parts=(
            Part(id="summary", make=partial(_summary, view, machine), of=(machine,)),
            Part(id="use", make=partial(_services, view, machine), rows="use-rows"),
            Part(id="clusters", make=partial(_clusters, view, written.places if written else ()), of=(written,)),
        ),
    )


def _summary(view: View, report: MachineReport | None) -> h.Element:
    return h.section("#summary", aria_label="Summary")[
        h.h1["Machines and clusters"],
        h.h2(".host")[safe(report.host)] if report else h.p(".says")["The machine is being measured."],
        report
        and h.dl(".tiles.wide")[
            (h.div[h.dt[name], h.dd[value], h.dd(".more")[more]] for name, value, more in _tiles(report))
        ],
        report and h.dl(".facts")[(h.div[h.dt[name], h.dd[value]] for name, value in _facts(view, report))],
    ]


def _tiles(report: MachineReport) -> Iterator[tuple[str, h.Node, h.Node]]:
    machine, hardware = report.machine, report.hardware
    cores, total = (machine.cores, machine.memory_bytes_total) if machine else (None, None)
    yield "Cores", figure(cores, _cores), _of(hardware.cores_used, cores, _cores)
    left = hardware.memory_bytes_available
    used = None if total is None or left is None else max(0, total - left)
    yield "Memory", figure(total, memory), _of(used, total, memory)
    for each in hardware.accelerators:
        yield each.name, figure(each.memory_bytes_total, memory), _accelerator(each)
    for disk in hardware.disks:
        used = disk.bytes_total - disk.bytes_free
        yield f"Disk: {disk.holds}", memory(disk.bytes_total), _of(used, disk.bytes_total, memory)
    yield (
        "Power of the processors",
        figure(hardware.power_w, _watts),
        h.span(".reason")["no sensor that this user can read" if hardware.power_w is None else "without accelerators"],
    )


def _accelerator(each: Accelerator) -> h.Node:
    busy = None if each.use is None else f"busy {share(each.use)} of the time"
    power = None if each.power_w is None else _watts(each.power_w)
    return [
        _of(each.memory_bytes_used, each.memory_bytes_total, memory),
        h.span(".reason")[", ".join(each for each in (busy, power) if each) or "its use and power are unknown"],
    ]


def _of(used: float | None, total: float | None, shown: Callable[[float], str]) -> h.Node:
    """Return how much of a total is used, as a bar and in words."""
    if used is None or not total:
        return h.span(".reason")["its use is unknown"]
    part = used / total
    return [bar(part, tone="warn" if part >= _NEARLY else ""), h.span(".reason")[f"{shown(used)} used"]]


def _cores(value: float) -> str:
    """Return a number of cores.

    >>> _cores(0.001), _cores(0.25), _cores(2)
    ('less than 0.01', '0.25', '2')
    """
    return f"{value:.2f}".rstrip("0").rstrip(".") if value >= _LITTLE or not value else f"less than {_LITTLE}"


def _size(value: float) -> str:
    return memory(value) if value >= _MIB else "less than 1 MiB"


def _watts(value: float) -> str:
    return f"{number(value)} W"


def _facts(view: View, report: MachineReport) -> Iterator[tuple[str, h.Node]]:
    if report.hardware.processor:
        yield "Processor", safe(report.hardware.processor)
    if not report.hardware.accelerators:
        yield "Accelerators", "none found"
    if report.machine:
        yield "Engines beside llama.cpp", ", ".join(sorted(report.machine.programs)) or "none"
    gateway = view.status.gateway
    yield (
        "Gateway",
        [
            h.a(href=f"/ui/services/{gateway.service}")[gateway.service.partition("/")[2]],
            " ",
            state(str(gateway.state)),
            f" at {view.status.listen}",
        ],
    )
    if filters := view.status.filters:
        unused = filters.name == "stock" and h.span(".reason")[f"the native filter is not used: {safe(filters.why)}"]
        yield "Filters of the gateway", [filters.name, unused]


def _services(view: View, report: MachineReport | None) -> h.Element:
    columns = ("Service", "Cores", "Memory", "Room for more")
    shown = [each for each in (*view.status.services, view.status.gateway) if each.engine != "external"]
    return h.section("#use.panel", aria_labelledby="use-title")[
        h.div(".bar")[
            h.h2("#use-title")["Who uses what"],
            h.span(".note")["used now, of what its replicas may use or need"],
            h.input(
                "#filter", type="search", placeholder="Filter", aria_label="Filter services", data_filter="use-rows"
            ),
        ],
        h.div(".scroll", tabindex="0", role="region", aria_label="Table of services")[
            h.table(".cards")[
                h.thead[h.tr[(h.th(scope="col")[each] for each in columns)]],
                h.tbody("#use-rows")[(_kept(view, report, each) for each in shown)],
            ]
        ],
    ]


def _kept(view: View, report: MachineReport | None, each: ServiceStatus) -> h.Node:
    cores = report.cores_by_service.get(each.service) if report else None
    room = report.rooms.get(each.service) if report else None
    workload, used = view.workloads.get(each.service), view.figures.of(each.service).memory_bytes
    wants_cores, wants_memory = _requested(each, workload)
    machine = report.machine if report else None
    make = partial(_row, each, (cores, wants_cores), (used, wants_memory), room, machine)
    values = (cores, used, wants_cores, wants_memory, room, machine)
    return view.keep(f"use {each.service}", make, same=(each,), equal=values)


def _requested(each: ServiceStatus, workload: Workload | None) -> tuple[float | None, float | None]:
    """Return the cores and the memory of all replicas: their limits, or what a model is estimated to need."""
    replicas, capacity = each.replicas_wanted, each.capacity
    cores = workload.resources.cpu if workload and workload.resources.cpu is not None else None
    if cores is None and capacity:
        cores = capacity.threads
    size = workload.resources.memory if workload and workload.resources.memory is not None else None
    if capacity and capacity.memory_bytes is not None:
        size = capacity.memory_bytes
    return None if cores is None else cores * replicas, None if size is None else size * replicas


def _row(
    each: ServiceStatus,
    cores: tuple[float | None, float | None],
    size: tuple[float | None, float | None],
    room: Room | None,
    machine: Machine | None,
) -> h.Element:
    """Return the row of a service; `cores` and `size` are what it uses, and what it may use or need."""
    kind, _, name = each.service.partition("/")
    return h.tr(id=f"use-{kind}-{name}")[
        h.th(scope="row")[h.a(href=f"/ui/services/{each.service}")[name], " ", h.span(".kind")[kind]],
        h.td(data_name="Cores")[_used(*cores, machine.cores if machine else None, _cores)],
        h.td(data_name="Memory")[_used(*size, machine.memory_bytes_total if machine else None, _size)],
        h.td(data_name="Room for more")[_room(room)],
    ]


def _used(used: float | None, wants: float | None, total: float | None, shown: Callable[[float], str]) -> h.Node:
    whole = wants or total
    of = f" of {shown(wants)}" if wants is not None else ", without a limit"
    part = None if used is None or not whole else used / whole
    return h.span(".use")[
        figure(used, shown), of, bar(part or 0.0, tone="warn" if wants and part is not None and part >= 1 else "")
    ]


def _room(room: Room | None) -> h.Node:
    if room is None:
        return DASH
    if room.more is None:
        return ["unknown", h.span(".reason")[safe(room.says)]]
    return [count(room.more, "more replica") if room.more else "none", h.span(".reason")[safe(room.says)]]


def _clusters(view: View, places: tuple[EnvironmentPlace, ...]) -> h.Element:
    columns = ("Environment", "Runs on", "Reached by", "State")
    return h.section("#clusters.panel", aria_labelledby="clusters-title", hidden=not places)[
        h.div(".bar")[
            h.h2("#clusters-title")["Environments and clusters"],
            h.span(".note")["from the specs; no cluster is asked for this page"],
        ],
        h.div(".scroll", tabindex="0", role="region", aria_label="Table of environments")[
            h.table(".cards")[
                h.thead[h.tr[(h.th(scope="col")[each] for each in columns)]],
                h.tbody[(row for each in places for row in _place(view, each))],
            ]
        ],
    ]


def _place(view: View, each: EnvironmentPlace) -> Iterator[h.Element]:
    is_here = each.name == view.status.environment
    name = h.th(scope="row")[
        safe(each.name),
        h.span(".reason")[h.code[safe(str(each.position))], each.namespace and f", namespace {safe(each.namespace)}"],
    ]
    if not each.clusters:
        yield h.tr[
            name,
            h.td(data_name="Runs on")["this machine" if is_here else "a machine"],
            h.td(data_name="Reached by")[DASH],
            h.td(data_name="State")["served by this instance" if is_here else "not checked"],
        ]
    for cluster in each.clusters:
        yield h.tr[
            name,
            h.td(data_name="Runs on")[safe(cluster.name)],
            h.td(data_name="Reached by")[_reached(cluster)],
            h.td(data_name="State")[
                "not checked", h.span(".reason")["ask it: ", h.code[f"bateau status --env {safe(each.name)}"]]
            ],
        ]


def _reached(cluster: ClusterPlace) -> h.Node:
    if cluster.position is None:
        return "unknown: it has no document"
    if cluster.in_cluster:
        return "the service account of its pod"
    file = f" of {safe(cluster.kubeconfig)}" if cluster.kubeconfig else ""
    return f"the context {safe(cluster.context)}{file}"
