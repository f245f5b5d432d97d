"""The JSON of the control API as types, for those who read it.

Called by api and cli. The names are those of domain.status.Status and its parts, in camelCase.

Invariant: each type has the fields of the dataclass that it is the JSON of. Held by tests/api/test_trees.py.
Refused: reading it into the dataclasses again. A client must also understand a control plane of an earlier version,
whose status may have fewer fields, and must start fast.
"""

from typing import TypedDict, TypeGuard

from bateau.kit.json_value import Json, is_object


class CapacityTree(TypedDict):
    """The JSON of domain.placement.ModelCapacity."""

    slots: int
    context: int
    threads: int
    memoryBytes: int | None


class EndTree(TypedDict):
    """The JSON of domain.replica.End."""

    whenS: float
    says: str


class ReplicaTree(TypedDict):
    """The JSON of domain.replica.Replica."""

    id: str
    service: str
    revision: str
    state: str
    pid: int | None
    addresses: dict[str, str]
    zone: str | None
    restarts: int
    since: float
    reason: str | None
    lastEnd: EndTree | None
    logPath: str | None
    lastLog: list[str]
    limits: str | None
    adopted: bool
    draining: bool
    drainTimeoutS: float
    changedFiles: list[Json] | None


class AffinityTree(TypedDict):
    """The JSON of domain.status.AffinityStatus."""

    on: bool
    says: str


class FiltersTree(TypedDict):
    """The JSON of domain.status.GatewayFilters."""

    name: str
    why: str


class ServiceTree(TypedDict):
    """The JSON of domain.status.ServiceStatus."""

    service: str
    state: str
    reason: str | None
    replicasWanted: int
    replicasReady: int
    engine: str
    address: str | None
    capacity: CapacityTree | None
    source: str | None
    task: str | None
    pulledBytes: int | None
    pullBytesTotal: int | None
    replicas: list[ReplicaTree]
    draining: list[str]
    rejected: str | None
    blocked: str | None
    rolledOut: bool
    revision: str | None
    affinity: AffinityTree | None


class StatusTree(TypedDict):
    """The JSON of domain.status.Status."""

    number: int
    version: str
    instance: str
    pid: int
    directory: str
    follows: str
    environment: str | None
    listen: str
    remote: str | None
    gateway: ServiceTree
    services: list[ServiceTree]
    problems: list[Json]
    foreign: int
    since: float
    settled: bool
    accepted: bool
    written: str | None
    rolledOut: bool
    specsRejected: bool
    filters: FiltersTree | None


class FigureTree(TypedDict):
    """The JSON of domain.figures.ServiceFigures."""

    seconds: float
    requestsPerS: float | None
    errors: float | None
    latencySP95: float | None
    tokensPerS: float | None
    tokensMissing: bool
    memoryBytes: int | None
    cpuCores: float | None


class FiguresTree(TypedDict):
    """The JSON of domain.figures.Figures."""

    number: int
    services: dict[str, FigureTree]
    unmeasured: str | None


class RowTree(TypedDict):
    """One line of a plan, in its three columns and with its sign."""

    sign: str
    who: str
    what: str
    whence: str


class EffectTree(TypedDict):
    """The JSON of control.preview.Effect."""

    service: str
    does: str


class PreviewTree(TypedDict):
    """The answer to a preview."""

    environment: str | None
    problems: list[Json]
    wrong: bool
    mistaken: bool
    pending: bool
    headline: str
    rows: list[RowTree]
    effects: list[EffectTree]
    services: list[str]


class RollbackTree(TypedDict):
    """The answer to a rollback."""

    service: str
    revision: int
    commit: str | None
    whenS: float
    rows: list[RowTree]


def is_status(tree: object) -> TypeGuard[StatusTree]:
    """Return whether this is a status. Its parts are those of the control plane, and are not checked."""
    return is_object(tree) and {"number", "services", "gateway"} <= tree.keys()


def is_figures(tree: object) -> TypeGuard[FiguresTree]:
    """Return whether these are figures."""
    return is_object(tree) and {"number", "services"} <= tree.keys() and is_object(tree["services"])


def is_preview(tree: object) -> TypeGuard[PreviewTree]:
    """Return whether this is the answer to a preview."""
    return is_object(tree) and {"headline", "rows", "effects"} <= tree.keys()


def is_rollback(tree: object) -> TypeGuard[RollbackTree]:
    """Return whether this is the answer to a rollback."""
    return is_object(tree) and {"revision", "rows", "whenS"} <= tree.keys()
