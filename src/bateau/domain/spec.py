"""Documents as they are written, and what a kind of document is.

Made by specs, which holds one module for each kind; read by hydrate and policy.

A kind is known by its `Kind` value alone: schema, references, and the workload that a document becomes.
Refused: pydantic models for schemas; they lose the line and column of every field, and coerce what they should refuse.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from bateau.domain.origin import Origins
from bateau.domain.problem import Problem
from bateau.domain.workload import ServiceKey, Workload
from bateau.kit.position import Position
from bateau.kit.schema import described

API_VERSION = "bateau.dev/v1alpha1"

DNS_LABEL = r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?"
DNS_LABEL_SAYS = "lower-case letters, digits and '-', starting and ending with a letter or digit, at most 63"

LATER = "is read, but this version does not act on it yet"


@dataclass(frozen=True, kw_only=True)
class Metadata:
    """The name of a document, and what it is labelled with."""

    name: str = described(
        "Name of the object: a DNS label, unique among documents of its kind.",
        pattern=DNS_LABEL,
        pattern_says=DNS_LABEL_SAYS,
        examples=("chat",),
    )
    namespace: str | None = described(
        "Namespace of the service's objects on clusters; Model and App only. Absent: that of `--namespace`, else "
        "`spec.namespace` of the Environment, else `default`.",
        default=None,
        pattern=DNS_LABEL,
        pattern_says=DNS_LABEL_SAYS,
        examples=("shop",),
    )
    labels: Mapping[str, str] = described("Labels to select and group objects by.", default_factory=dict)
    annotations: Mapping[str, str] = described("Free notes that tools may keep.", default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Hydrated:
    """A document for one environment, before its kind makes a workload of it.

    `fields` is an instance of the kind's schema; the rest is as in `Workload`.
    """

    key: ServiceKey
    fields: Any
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    position: Position
    positions: Mapping[str, Position]
    tree: Mapping[str, Any]
    origins: Origins


@dataclass(frozen=True, slots=True)
class Names:
    """What documents can refer to.

    `doubtful` are words of documents that could not be read: nothing is reported about these.
    """

    services: Mapping[str, "Spec"]
    service_kinds: Mapping[str, str]  # "model": "Model"
    environments: frozenset[str]
    doubtful: frozenset[str]


@dataclass(frozen=True, slots=True)
class Remade:
    """A document that patches and expressions have changed: its body, and which paths were made by them."""

    spec: "Spec"
    body: Mapping[str, Any]
    positions: Mapping[str, Position]
    made: Callable[[str], bool]
    services: Callable[[], Collection[str]]


def _nothing_wrong(_spec: "Spec", _fields: Mapping[str, Any], _names: Names) -> Sequence[Problem]:
    return ()


def _nothing_remade(_remade: Remade) -> Sequence[Problem]:
    return ()


def _brings_nothing(_fields: Mapping[str, Any]) -> bool:
    return False


@dataclass(frozen=True, kw_only=True)
class Kind:
    """One kind of document.

    `schema` is the dataclass of what stands below `spec`. `references` finds what does not fit together in a document
    as it is written, `rechecks` what patches and expressions have broken. `to_workload` is None for a kind that is not
    a service. `brings_documents` returns from the written fields whether third-party Kubernetes objects belong to it.
    """

    name: str
    schema: type
    references: Callable[["Spec", Mapping[str, Any], Names], Sequence[Problem]] = _nothing_wrong
    rechecks: Callable[[Remade], Sequence[Problem]] = _nothing_remade
    to_workload: Callable[[Hydrated], Workload] | None = None
    brings_documents: Callable[[Mapping[str, Any]], bool] = _brings_nothing


@dataclass(frozen=True, kw_only=True)
class Spec:
    """One document as it was written: a plain tree, and the place of every field in it.

    `tree` holds only what stands in the file: dicts, lists and scalars with camelCase keys. `positions` maps the
    path of each field ("spec.ports.http.protocol", list items as "spec.command[2]") to where its value stands.
    """

    definition: Kind = field(repr=False)
    name: str
    tree: Mapping[str, Any]
    position: Position
    positions: Mapping[str, Position]

    @property
    def kind(self) -> str:
        """The name of its kind."""
        return self.definition.name

    @property
    def key(self) -> ServiceKey:
        """What the document is called."""
        return ServiceKey.of(self.kind, self.name)

    @property
    def is_service(self) -> bool:
        """Whether a workload is made of it."""
        return self.definition.to_workload is not None

    @property
    def fields(self) -> Mapping[str, Any]:
        """What stands below `spec`; empty where that is not a mapping."""
        body: Any = self.tree.get("spec")
        return body if isinstance(body, dict) else {}  # pyright: ignore[reportUnknownVariableType]

    @property
    def brings_documents(self) -> bool:
        """Whether Kubernetes objects from elsewhere are part of it: manifests, a kustomization or a chart."""
        return self.definition.brings_documents(self.fields)
