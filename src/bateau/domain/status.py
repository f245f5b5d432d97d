"""The status of an instance at one moment, for people and programs.

Made by control; written as JSON by api; shown by cli.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from bateau.domain.model_file import ModelTask
from bateau.domain.placement import ModelCapacity
from bateau.domain.problem import Problem
from bateau.domain.replica import Replica

# The source of the desired state of an instance: watched files, a repository, or `bateau apply`.
Follows = Literal["directory", "repository", "applied"]


class ServiceState(StrEnum):
    """The condition of a service in one word."""

    READY = "Ready"
    STARTING = "Starting"
    PULLING = "Pulling"
    DEGRADED = "Degraded"  # some replicas are ready, not all
    FAILED = "Failed"
    STOPPED = "Stopped"  # replicas: 0
    ASLEEP = "Asleep"  # scale.min: 0, and no request for a while: the next one wakes it
    DONE = "Done"  # every replica is a task that has succeeded
    ELSEWHERE = "Elsewhere"  # it runs on clusters only
    LEAVING = "Leaving"  # its document was deleted
    UNKNOWN = "Unknown"  # its cluster or its document cannot be read


@dataclass(frozen=True, slots=True, kw_only=True)
class AffinityStatus:
    """Whether the requests of a conversation go to one replica of a model now, and why."""

    on: bool
    says: str


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayFilters:
    """The filters of the gateway: the native one, or Envoy's own (stock), and why they were chosen."""

    name: Literal["native", "stock"]
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceStatus:
    """One service. `pulled_bytes` and `pull_bytes_total` are set while its model is fetched.

    `rejected` is the reason why the gateway sends it no requests. `blocked` is the reason why its desired replicas do
    not start; its earlier replicas continue to run. Both are None without such a reason. `rolled_out`: all its desired
    replicas are ready and get requests. `revision` is the desired revision of its replicas; None while it is unknown.
    `affinity` is None for apps and for external APIs.
    """

    service: str
    state: ServiceState
    reason: str | None
    replicas_wanted: int
    replicas_ready: int
    engine: str
    address: str | None = None
    capacity: ModelCapacity | None = None
    source: str | None = None
    task: ModelTask | None = None  # the task of a model, once its file is known
    pulled_bytes: int | None = None
    pull_bytes_total: int | None = None
    replicas: tuple[Replica, ...] = ()
    draining: tuple[str, ...] = ()
    rejected: str | None = None
    blocked: str | None = None
    rolled_out: bool = False
    revision: str | None = None
    affinity: AffinityStatus | None = None

    @property
    def has_replicas(self) -> bool:
        """Whether it runs here: an external API has no replicas, so none is missing."""
        return self.engine != "external"


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """The status of everything. `problems` are those of the current specs. With errors, `services` do not change.

    `filters` are None where they are unknown: the gateways of a cluster choose theirs themselves.
    """

    number: int = 0  # the number of the snapshot; it increases by one with each change
    version: str
    instance: str
    pid: int
    directory: str
    follows: Follows
    environment: str | None
    listen: str
    remote: str | None = None  # where other machines reach the endpoint
    gateway: ServiceStatus
    services: tuple[ServiceStatus, ...]
    problems: tuple[Problem, ...]
    foreign: int
    since: float
    settled: bool  # every service is ready, failed for good or stopped
    accepted: bool  # the desired state is that of the current specs
    written: str | None  # digest of the current specs, None before they are read
    rolled_out: bool  # every desired replica is ready, and gets requests through the gateway
    specs_rejected: bool  # the current specs have errors, so they were not applied
    filters: GatewayFilters | None = None
