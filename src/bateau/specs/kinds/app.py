"""The kind App, any service other than a model: its schema, its checks, and its conversion to a workload."""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final, Literal

from bateau.domain.expression import paths_read
from bateau.domain.problem import Problem
from bateau.domain.resource import Column, Resource, Validation
from bateau.domain.route import Route
from bateau.domain.slo import AppSlo, Slo
from bateau.domain.spec import LATER, Hydrated, Kind, Names, Remade, Spec
from bateau.domain.workload import (
    Chart,
    Command,
    Container,
    Documents,
    Health,
    Resources,
    Restart,
    Runs,
    ServiceKey,
    StopSignal,
    VirtualMachine,
    Wasm,
    Workload,
)
from bateau.domain.workload import Port as WorkloadPort
from bateau.kit.cel_text import OPEN
from bateau.kit.json_value import ReadObject, array_at, is_object, object_at, texts_at
from bateau.kit.position import child, item, nearest
from bateau.kit.schema import Seconds, described
from bateau.kit.suggest import closest, listed, suggestion
from bateau.kit.url import wrong_image
from bateau.specs.kinds.routes import LIMITS, VALIDATIONS, wrong_route
from bateau.specs.kinds.wrong import at, ports_hint, strings

WAYS_TO_RUN: Final = ("command", "image", "wasm", "vm", "manifests", "kustomization", "chart")
NOTHING_TO_RUN: Final = "an App needs one of command, image, wasm, vm, manifests, kustomization or chart"
_DOCUMENTS: Final = ("manifests", "kustomization", "chart")


@dataclass(frozen=True, kw_only=True)
class Port:
    """A port that an App listens on. Bateau assigns its number, unless `port` sets it."""

    protocol: Literal["http", "grpc", "websocket", "tcp"] = described("Protocol of the port.", default="http")
    port: int | None = described(
        "Number that clients use. Absent: Bateau assigns one and keeps it.", default=None, minimum=1, maximum=65535
    )
    hosts: tuple[str, ...] = described(
        "Host names by which clients may ask, besides those of this machine, on one machine only: `*` is any name, and "
        "`*.example.org` any name below one. A web page could otherwise reach the port by a name of its own.",
        default=(),
        examples=(("shop.example.org",),),
    )


@dataclass(frozen=True, kw_only=True)
class AppSpec:
    """Any other service: its command, its ports, its health checks and the services that it uses."""

    command: tuple[str, ...] | None = described(
        "Program and arguments. `${ ports.NAME }` is the port that a replica must listen on. With `image`, the command "
        "runs directly on this machine, and in the image on clusters.",
        default=None,
        examples=(("python", "-m", "shop", "--port", "${ ports.http }"),),
    )
    image: str | None = described("Container image, on clusters only.", default=None, form=wrong_image)
    wasm: str | None = described("WebAssembly component.", default=None, unsupported=LATER)
    vm: str | None = described("Virtual machine image.", default=None, unsupported=LATER)
    manifests: tuple[str, ...] | None = described(
        "Files of Kubernetes manifests, or globs of them, relative to the file of the App, on clusters only.",
        default=None,
        examples=(("legacy/*.yaml",),),
    )
    kustomization: str | None = described(
        "Directory of a kustomization, relative to the file of the App, on clusters only.",
        default=None,
        examples=("legacy/overlays/prod",),
    )
    chart: Chart | None = described("Helm chart, on clusters only.", default=None)
    ports: Mapping[str, Port] = described(
        "Ports by name. The app reads the number to listen on from `PORT_NAME`, or from `PORT` for the first.",
        default_factory=dict,
    )
    health: Health = described("How replicas are probed.", default_factory=Health)
    uses: tuple[str, ...] = described(
        "Services that the app calls: `model/NAME` or `app/NAME`. For each, the app gets its URL in `BATEAU_NAME_URL`, "
        "and `BATEAU_NAME_URL_PORT` for each port if it has several.",
        default=(),
        examples=(("model/chat",),),
    )
    replicas: int = described("Number of replicas.", default=1, minimum=0, maximum=1000)
    env: Mapping[str, str] = described("Environment variables.", default_factory=dict)
    working_directory: str | None = described(
        "Directory to run in, relative to the file that sets it. Absent: the directory of the App's file.", default=None
    )
    resources: Resources = described("Resources that one replica may use.", default_factory=Resources)
    drain_timeout: Seconds = described(
        "Time for requests and connections to end before a draining replica is stopped.",
        default=30.0,
        minimum=0,
    )
    stop_timeout: Seconds = described("Time between the stop signal and SIGKILL.", default=10.0, minimum=0)
    stop_signal: StopSignal = described("Signal that asks a replica to end, on this machine only.", default="SIGTERM")
    restart: Restart = described(
        "Whether a replica that has ended is started again, on this machine only. `onFailure` and `never` are for a "
        "task that ends, such as a migration; its state is then `Done`.",
        default="always",
    )
    route: Route | None = described(
        "How clients from outside of a cluster reach the app's first port, by the Gateway API. Absent: not at all.",
        default=None,
    )
    slo: AppSlo = described("Objectives of the app; alerts fire when its requests miss them.", default_factory=AppSlo)


def to_workload(document: Hydrated) -> Workload:
    """Return the workload of an App."""
    spec: AppSpec = document.fields
    return Workload(
        key=document.key,
        labels=document.labels,
        annotations=document.annotations,
        runs=_runs(spec),
        ports={
            name: WorkloadPort(protocol=port.protocol, number=port.port, hosts=port.hosts)
            for name, port in spec.ports.items()
        },
        uses=tuple(map(ServiceKey, spec.uses)),
        env=spec.env,
        replicas=spec.replicas,
        health=spec.health,
        resources=spec.resources,
        drain_timeout_s=spec.drain_timeout,
        stop_timeout_s=spec.stop_timeout,
        stop_signal=spec.stop_signal,
        restart=spec.restart,
        route=spec.route,
        slo=Slo(availability=spec.slo.availability, latency_p95_s=spec.slo.ttfb_p95),
        position=document.position,
        positions=document.positions,
        tree=document.tree,
        origins=document.origins,
    )


def _runs(spec: AppSpec) -> Runs:
    if any(getattr(spec, each) is not None for each in _DOCUMENTS):
        return Documents(manifests=spec.manifests, kustomization=spec.kustomization, chart=spec.chart)
    if spec.image is not None:
        return Container(image=spec.image, command=spec.command, working_directory=spec.working_directory)
    if spec.wasm is not None:
        return Wasm(component=spec.wasm)
    if spec.vm is not None:
        return VirtualMachine(image=spec.vm)
    return Command(words=spec.command or (), working_directory=spec.working_directory)


def references(spec: Spec, fields: ReadObject, names: Names) -> list[Problem]:
    """Report fields of an App that are invalid or conflict with each other, and unknown services."""
    problems: list[Problem] = []
    ways = [way for way in WAYS_TO_RUN if fields.get(way) is not None]
    if not ways:
        hint = "add `command: [program, argument]`"
        problems.append(at(spec, "spec", NOTHING_TO_RUN, hint))
    elif len(ways) > 1 and ways != [
        "command",
        "image",
    ]:  # the command runs directly here, and in the image on a cluster
        says = f"{' and '.join(ways)} cannot be used together"
        problems.append(at(spec, f"spec.{ways[1]}", says, "keep one of them"))
    if fields.get("command") == []:
        problems.append(at(spec, "spec.command", "command is empty", "write `command: [program, argument]`"))
    ports_there = list(object_at(fields, "ports"))
    for index, name in enumerate(ports_there):
        for other in ports_there[:index]:
            if _upper(name) == _upper(other):
                says = f"port `{name}` and port `{other}` have the same variable, PORT_{_upper(name)}"
                problems.append(at(spec, child("spec.ports", name), says, "rename one"))
    probed = object_at(fields, "health").get("port")
    if isinstance(probed, str) and probed not in ports_there:
        problems.append(
            at(
                spec,
                "spec.health.port",
                f"health.port is `{probed}`, but there is no such port",
                ports_hint(probed, ports_there),
            )
        )
    for path, text in strings(fields.get("command"), "spec.command") + strings(fields.get("env"), "spec.env"):
        problems += [
            at(spec, path, f"`${{ ports.{used} }}` refers to a port that does not exist", ports_hint(used, ports_there))
            for used in _ports_used(text)
            if used not in ports_there
        ]
        problems += [
            at(spec, path, f"`{{port:{word}}}` names no port of the app", f"write `${{ ports.{near} }}`")
            for word in _PORT_WORD.findall(text)
            if word not in ports_there and (near := closest(word, ports_there))
        ]
    problems += _wrong_hosts(spec, fields)
    for index, used in enumerate(array_at(fields, "uses")):
        problems += _used(spec, f"spec.uses[{index}]", used, names)
    return [*problems, *wrong_route(spec, fields)]


# As Envoy matches them: a wildcard is the whole name or its first label.
_HOST: Final = re.compile(r"\*|(\*\.)?[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?")


def _wrong_hosts(spec: Spec, fields: ReadObject) -> Iterator[Problem]:
    for name, port in object_at(fields, "ports").items():
        if not is_object(port):
            continue
        path = f"{child('spec.ports', name)}.hosts"
        hosts = texts_at(port, "hosts")
        if hosts and port.get("protocol") == "tcp":
            yield at(spec, path, "connections of a tcp port name no host", "remove hosts")
        for index, host in enumerate(hosts):
            if OPEN not in host and not _HOST.fullmatch(host):
                hint = "write a name in lower case without a port, such as shop.example.org, *.example.org or *"
                yield at(spec, item(path, index), f'"{host}" is not a name of a host', hint)


# Other braces, such as the route `/users/{port:int}`, belong to the program.
_PORT_WORD: Final = re.compile(r"\{port:([^{}\s]+)\}")


def _upper(name: str) -> str:
    return name.upper().replace("-", "_")


def _ports_used(text: str) -> list[str]:
    """Return the names of the ports that the expressions in a text use.

    >>> _ports_used("${ ports.http } ${ ports['x-y'] } ${ 'ports.no' } $${ ports.no }")
    ['http', 'x-y']
    """
    if "ports" not in text:
        return []
    found = [path.steps[0] for path in paths_read(text) if path.name == "ports" and path.steps]
    return [step for step in found if isinstance(step, str)]


def _used(spec: Spec, path: str, used: object, names: Names) -> list[Problem]:
    if not isinstance(used, str) or "${" in used:
        return []
    prefix, slash, name = used.partition("/")
    if used in names.services and names.services[used] is not spec:
        return []
    known = [key for key, other in names.services.items() if other is not spec]
    if not slash or prefix not in names.service_kinds:
        near = next((one for one in known if one.partition("/")[2] == (name or used)), None)
        hint = f"did you mean `{near}`?" if near else "write `model/NAME` or `app/NAME`"
        return [at(spec, path, f"uses `{used}`, which does not begin with the kind of a service", hint)]
    if names.service_kinds[prefix] == spec.kind and name == spec.name:
        return [at(spec, path, f"{spec.name} uses itself", "remove it")]
    if name not in names.doubtful:
        hint = suggestion(used, known, none="no Model and no other App is defined")
        return [at(spec, path, f"uses `{used}`, but there is no such {names.service_kinds[prefix]}", hint)]
    return []


def rechecks(remade: Remade) -> list[Problem]:
    """Check the references that patches and expressions have set; `references` has checked the others."""
    spec, body = remade.spec, remade.body

    def wrong(path: str, says: str, names: Iterable[str]) -> Problem:
        hint = f"available: {listed(sorted(names)) or 'none'}"
        return Problem(where=nearest(remade.positions, path, spec.position), says=says, hint=hint)

    found: list[Problem] = []
    ports = object_at(body, "ports")
    port = object_at(body, "health").get("port")
    if isinstance(port, str) and remade.made("spec.health.port") and port not in ports:
        found.append(wrong("spec.health.port", f"health.port is `{port}`, but there is no such port", ports))
    for index, used in enumerate(array_at(body, "uses")):
        path = item("spec.uses", index)
        if remade.made(path) and used not in remade.services():
            found.append(wrong(path, f"uses `{used}`, but there is no such service", remade.services()))
    ran, runs = (any(each.get(way) is not None for way in WAYS_TO_RUN) for each in (spec.fields, body))
    if ran and not runs:
        found.append(wrong("spec", "the app has nothing to run", WAYS_TO_RUN))
    return found


def brings_documents(fields: ReadObject) -> bool:
    """Whether the document of an App sets manifests, a kustomization or a chart."""
    return any(each in fields for each in _DOCUMENTS)


_SET: Final = "[" + ", ".join(f"has(self.{way}) ? '{way}' : ''" for way in WAYS_TO_RUN) + "].filter(way, way != '')"

_RESOURCE: Final = Resource(
    plural="apps",
    short_name="bapp",
    columns=(Column(name="Image", path=".spec.image", wide=True),),
    validations=(
        Validation(on="spec", rule=f"{_SET}.size() > 0", message=NOTHING_TO_RUN),
        Validation(
            on="spec",
            rule=f"{_SET}.size() <= 1 || {_SET} == ['command', 'image']",
            message="two ways to run cannot be used together: keep one of command, image, wasm, vm, manifests, "
            "kustomization and chart (only command and image go together)",
        ),
        Validation(on="spec.command", rule="self.size() > 0", message="command is empty: write [program, argument]"),
        Validation(
            on="spec",
            rule="!has(self.health) || !has(self.health.port) || (has(self.ports) && self.health.port in self.ports)",
            message="health.port names a port that does not exist",
            message_expression="'health.port is `' + self.health.port + '`, but there is no such port'",
            field="health.port",
        ),
        Validation(
            on="spec.uses[]",
            rule="self.matches('^(app|model)/.+$')",
            message="a service begins with its kind: write `model/NAME` or `app/NAME`",
        ),
        Validation(
            on="",
            rule="!has(self.spec.uses) || !('app/' + self.metadata.name in self.spec.uses)",
            message="an App cannot use itself: remove its own name from uses",
            field="spec.uses",
        ),
        *VALIDATIONS,
    ),
    limits={
        **LIMITS,
        "spec.uses": {"maxItems": 256},
        "spec.uses[]": {"maxLength": 80},
        "spec.health.port": {"maxLength": 253},
        "spec.slo.ttfbP95": {"maxLength": 64},
    },
)

KIND: Final = Kind(
    name="App",
    schema=AppSpec,
    resource=_RESOURCE,
    references=references,
    rechecks=rechecks,
    to_workload=to_workload,
    brings_documents=brings_documents,
)
