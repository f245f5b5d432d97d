"""The parts that all objects of one service share: names, labels, ports and findings.

Called by control.conditions and render.

Invariant: selectors have only Bateau's labels, which a label in a spec can never change. Held by
tests/render/test_kubernetes.py::test_a_label_of_a_spec_never_changes_a_selector.
"""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal, TypeVar

from bateau.domain.finding import Finding
from bateau.domain.unit import Address
from bateau.domain.workload import External, ModelServer, ServiceKey, Workload
from bateau.kit.position import child, nearest
from bateau.ports.target import Surroundings
from bateau.render.kubernetes.images import PORT
from bateau.render.marks import From, Marked, MarkedObject, Rule

_LABEL_VALUE: Final = re.compile(r"(?:[A-Za-z0-9](?:[-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?").fullmatch
_DNS_LABEL: Final = r"[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?"
_LABEL_KEY: Final = re.compile(
    rf"(?:{_DNS_LABEL}(?:\.{_DNS_LABEL})*/)?[A-Za-z0-9](?:[-A-Za-z0-9_.]{{0,61}}[A-Za-z0-9])?"
).fullmatch
_PORT_NAME: Final = re.compile(r"(?!.*--)(?=.*[a-z])[a-z0-9](?:[-a-z0-9]{0,13}[a-z0-9])?").fullmatch
_APP_PROTOCOLS: Final = {"grpc": "kubernetes.io/h2c", "websocket": "kubernetes.io/ws", "http": "http"}
_PORT_WORD: Final = re.compile(r"\{port:([^}]*)\}")
_INT32_MAX: Final = 2**31 - 1
_LABELS_OF_OURS: Final = frozenset(
    ("app.kubernetes.io/name", "app.kubernetes.io/component", "app.kubernetes.io/managed-by", "bateau.dev/environment")
)
PORT_FIRST: Final = 8080
_Value = TypeVar("_Value", int, str)


@dataclass(frozen=True, slots=True)
class Door:
    """A port of a service: as the spec names it, as Kubernetes does, and its number."""

    key: str
    name: From[str] | Rule[str]
    number: From[int] | Rule[int]
    protocol: str

    @property
    def app_protocol(self) -> str | None:
        """What Kubernetes calls the protocol; None for plain TCP."""
        return _APP_PROTOCOLS.get(self.protocol)


@dataclass(slots=True)
class Shape:
    """One service on its way to objects."""

    service: Workload
    around: Surroundings
    findings: list[Finding] = field(default_factory=list[Finding])
    numbers: Mapping[str, str] = field(default_factory=dict[str, str])  # of ports, by the spec's name of them

    def with_ports(self, text: str) -> str:
        """Return a text with the numbers of ports where hydrate left words for them."""
        return _PORT_WORD.sub(lambda match: self.numbers.get(match[1], match[0]), text)

    def check_doors(self, doors: Sequence["Door"]) -> None:
        """Report the ports that Kubernetes cannot distinguish."""
        if len(doors) == 1:
            return
        for what, values in (
            ("number", _repeated([door.number.value for door in doors])),
            ("name", _repeated([door.name.value for door in doors])),
        ):
            for value in values:
                says = f"two ports have the {what} {value}, by which Kubernetes distinguishes them"
                self.say(says, "spec.ports", verdict="error")

    def say(self, says: str, path: str = "spec", *, verdict: Literal["error", "warning"] = "warning") -> None:
        """Note that something asked for is not in the objects."""
        self.findings.append(
            Finding(
                rule="render",
                subject=self.service.key,
                verdict=verdict,
                says=says,
                where=nearest(self.service.positions, path, self.service.position),
                environment=self.around.environment,
                path=path,
            )
        )

    def document(
        self,
        api: str,
        kind: str,
        rest: Mapping[str, Marked],
        *,
        annotated: bool = False,
        name: From[str] | None = None,
    ) -> MarkedObject:
        """Return a marked object with its metadata. Without a `name`, it has that of the service."""
        metadata: MarkedObject = {
            "name": name or From(self.service.name, "metadata.name"),
            "namespace": From(self.service.namespace, "metadata.namespace")
            if self.service.namespace
            else Rule(self.around.namespace, "default namespace"),
            "labels": self.labels(),
        }
        notes = {key: text for key, text in self.notes().items() if _LABEL_KEY(key)} if annotated else {}
        if notes:
            metadata["annotations"] = {
                key: From(self.with_ports(text), child("metadata.annotations", key)) for key, text in notes.items()
            }
        named = {"apiVersion": Rule(api, f"version of {kind}"), "kind": Rule(kind, f"a {kind} for each service")}
        return {**named, "metadata": metadata, **rest}

    def selector(self) -> MarkedObject:
        """Return the labels that pick the pods of this service and no other."""
        return selector_of(self.service)

    def labels(self) -> MarkedObject:
        """Return the labels of every object: the valid ones of the spec, then Bateau's."""
        made: MarkedObject = {}
        for key, value in self.service.labels.items():
            if _LABEL_KEY(key) and _LABEL_VALUE(value):
                made[key] = From(value, child("metadata.labels", key))
        made.update(self.selector())
        made["app.kubernetes.io/managed-by"] = Rule("bateau", "who makes the objects")
        if self.around.environment:
            made["bateau.dev/environment"] = Rule(self.around.environment, "name of the environment")
        return made

    def check_labels(self) -> None:
        """Report labels and annotations that Kubernetes would reject, and labels that Bateau sets itself."""
        for key, value in self.service.labels.items():
            where = child("metadata.labels", key)
            if not (_LABEL_KEY(key) and _LABEL_VALUE(value)):
                self.say(f"not rendered: {where} is not a valid Kubernetes label", where)
            elif key in _LABELS_OF_OURS:
                self.say(f"not rendered: {where} is a label that Bateau sets and selects by", where)
        for key in self.notes():
            if not _LABEL_KEY(key):
                where = child("metadata.annotations", key)
                self.say(f"not rendered: {where} is not a valid Kubernetes annotation", where)

    def notes(self) -> Mapping[str, str]:
        """Return the user's annotations."""
        return self.service.annotations

    def seconds(self, value: float, path: str, *, least: int = 1) -> From[int]:
        """Return a duration in whole seconds, rounded up."""
        whole = max(math.ceil(value), least)
        if whole > _INT32_MAX:
            self.say(f"{path} is {whole} s, more than Kubernetes can hold", path, verdict="error")
        return From(whole, path, "in whole seconds, rounded up" if whole != value else None)


def _repeated(values: Sequence[_Value]) -> list[_Value]:
    return sorted({each for each in values if values.count(each) > 1})


def selector_of(service: Workload) -> MarkedObject:
    """Return the labels that pick the pods of a service."""
    return {
        "app.kubernetes.io/name": From(service.name, "metadata.name"),
        "app.kubernetes.io/component": Rule(service.key.kind, "kind of the service"),
    }


def selector_labels(key: ServiceKey) -> dict[str, str]:
    """Return the same for a service of which only the key is known.

    >>> selector_labels(ServiceKey("app/shop"))
    {'app.kubernetes.io/name': 'shop', 'app.kubernetes.io/component': 'app'}
    """
    return {"app.kubernetes.io/name": key.name, "app.kubernetes.io/component": key.kind}


def doors_of(service: Workload) -> list[Door]:
    """Return the ports of a service. A port without a number gets one from 8080 on that no other port has."""
    if isinstance(service.runs, ModelServer | External):
        return [Door("http", Rule("http", "port of the server"), Rule(PORT, "port of the server"), "http")]
    ports = service.ports
    taken = {port.number for port in ports.values()}
    doors: list[Door] = []
    following = PORT_FIRST
    for key, port in ports.items():
        path = child("spec.ports", key)
        if port.number:
            number: From[int] | Rule[int] = From(port.number, f"{path}.port")
        else:
            while following in taken:
                following += 1
            taken.add(following)
            number = Rule(following, "first free number from 8080 on")
        name = From(key, f"{path}.protocol", "name of the port") if _PORT_NAME(key) else None
        doors.append(Door(key, name or Rule(f"p{number.value}", "a name of at most 15 letters"), number, port.protocol))
    return doors


def address_of(service: Workload, namespace: str) -> Address | None:
    """Return the URL that users of a service call, with its origin in words; None where it has no port."""
    if isinstance(service.runs, External):
        return Address(url=service.runs.url, says="URL of a model that runs elsewhere", model=service.name)
    doors = doors_of(service)
    if not doors:
        return None
    serves_model = isinstance(service.runs, ModelServer)
    host, end = f"{service.name}.{namespace}.svc", "/v1" if serves_model else ""
    urls = tuple(
        (door.key, f"{'' if door.protocol in ('tcp', 'grpc') else 'http://'}{host}:{door.number.value}{end}")
        for door in doors
    )
    return Address(
        url=urls[0][1],
        says=f"DNS name of {service.key}",
        model=service.name if serves_model else None,
        ports=urls if len(urls) > 1 else (),
    )
