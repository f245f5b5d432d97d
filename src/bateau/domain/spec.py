"""Documents as their files have them, and the kinds of documents.

Made by specs, which holds one module for each kind; read by hydrate and policy.

A kind is known by its `Kind` value alone: schema, references, and the workload that a document becomes.

Refused: pydantic models for schemas. They lose the line and column of every field, and coerce invalid values.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from bateau.domain.dns_label import DNS_LABEL, DNS_LABEL_SAYS
from bateau.domain.origin import Origins
from bateau.domain.problem import Problem
from bateau.domain.resource import Resource
from bateau.domain.workload import ServiceKey, Workload
from bateau.kit.json_value import ReadObject
from bateau.kit.position import Position
from bateau.kit.schema import described

API_VERSION = "bateau.dev/v1alpha1"


LATER = "is read, but this version does not act on it yet"


@dataclass(frozen=True, kw_only=True)
class Metadata:
    """The name, labels and annotations of a document."""

    name: str = described(
        "Name of the object: a DNS label, unique among documents of its kind.",
        pattern=DNS_LABEL,
        pattern_says=DNS_LABEL_SAYS,
        examples=("chat",),
    )
    namespace: str | None = described(
        "Namespace of the service's objects on clusters, for Model and App only. Absent: `--namespace`, else "
        "`spec.namespace` of the Environment, else `default`.",
        default=None,
        pattern=DNS_LABEL,
        pattern_says=DNS_LABEL_SAYS,
        examples=("shop",),
    )
    labels: Mapping[str, str] = described("Labels to select and group objects by.", default_factory=dict)
    annotations: Mapping[str, str] = described("Notes for tools and people.", default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Hydrated:
    """A document in one environment, before its kind converts it to a workload.

    `fields` is an instance of the kind's schema; the other attributes are those of `Workload`.
    """

    key: ServiceKey
    fields: Any
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    position: Position
    positions: Mapping[str, Position]
    tree: ReadObject
    origins: Origins


@dataclass(frozen=True, slots=True)
class Names:
    """The names that documents can refer to.

    `doubtful` are words in documents that could not be read: references to them are not reported.
    """

    services: Mapping[str, "Spec"]
    service_kinds: Mapping[str, str]  # "model": "Model"
    environments: frozenset[str]
    clusters: frozenset[str]
    doubtful: frozenset[str]


@dataclass(frozen=True, slots=True)
class Remade:
    """A document after patches and expressions: its body, and whether they have set a path (`made`)."""

    spec: "Spec"
    body: ReadObject
    positions: Mapping[str, Position]
    made: Callable[[str], bool]
    services: Callable[[], Collection[str]]


def _nothing_wrong(_spec: "Spec", _fields: ReadObject, _names: Names) -> Sequence[Problem]:
    return ()


def _nothing_remade(_remade: Remade) -> Sequence[Problem]:
    return ()


def _brings_nothing(_fields: ReadObject) -> bool:
    return False


@dataclass(frozen=True, kw_only=True)
class Kind:
    """One kind of document.

    `schema` is the dataclass of the fields below `spec`, `resource` the kind in the API of a cluster, None if it has
    no effect there. `references` returns the problems between the fields of a document and with other documents,
    `rechecks` those that patches and expressions have caused. `to_workload` is None for a kind that is not a service.
    `brings_documents` returns whether a document includes third-party Kubernetes objects, from its fields.
    """

    name: str
    schema: type
    resource: Resource | None
    references: Callable[["Spec", ReadObject, Names], Sequence[Problem]] = _nothing_wrong
    rechecks: Callable[[Remade], Sequence[Problem]] = _nothing_remade
    to_workload: Callable[[Hydrated], Workload] | None = None
    brings_documents: Callable[[ReadObject], bool] = _brings_nothing


@dataclass(frozen=True, kw_only=True)
class Spec:
    """One document from its file: a plain tree, and the position of every field in it.

    `tree` has the content of the file and nothing else: dicts, lists and scalars with camelCase keys. `positions` maps
    the path of each field ("spec.ports.http.protocol", list items as "spec.command[2]") to the position of its value.
    """

    definition: Kind = field(repr=False)
    name: str
    tree: ReadObject
    position: Position
    positions: Mapping[str, Position]

    @property
    def kind(self) -> str:
        """The name of its kind."""
        return self.definition.name

    @property
    def key(self) -> ServiceKey:
        """The key of the document."""
        return ServiceKey.of(self.kind, self.name)

    @property
    def is_service(self) -> bool:
        """Whether the document becomes a workload."""
        return self.definition.to_workload is not None

    @property
    def fields(self) -> ReadObject:
        """The fields below `spec`; empty if that is not a mapping."""
        body = self.tree.get("spec")
        return body if isinstance(body, dict) else {}

    @property
    def brings_documents(self) -> bool:
        """Whether it includes third-party Kubernetes objects: manifests, a kustomization or a chart."""
        return self.definition.brings_documents(self.fields)
