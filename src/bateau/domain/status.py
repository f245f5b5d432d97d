"""What the control plane knows at one moment, for people and programs to read.

Made by control; written as JSON by api; shown by cli.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from bateau.domain.model_file import ModelTask
from bateau.domain.placement import ModelCapacity
from bateau.domain.problem import Problem
from bateau.domain.replica import Replica

# Where the desired state of an instance is: files that are watched, a commit, or what `apply` gave.
Follows = Literal["directory", "repository", "applied"]


class ServiceState(StrEnum):
    """The condition of a service in one word."""

    READY = "Ready"
    STARTING = "Starting"
    PULLING = "Pulling"
    DEGRADED = "Degraded"  # some replicas are ready, not all
    FAILED = "Failed"
    STOPPED = "Stopped"  # replicas: 0
    DONE = "Done"  # every replica is a task that has ended well
    ELSEWHERE = "Elsewhere"  # it runs on clusters only
    LEAVING = "Leaving"  # no document names it any more


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceStatus:
    """One service. `pulled_bytes` and `pull_bytes_total` are set while its model is fetched.

    `rejected` is why the gateway will not send requests to it, `hindered` why what shall run of it does not start (what
    ran before goes on then); None where that is not so. `rolled_out`: all of it is ready, and is reached. `revision` is
    the one that its replicas should have; None while that is unknown.
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
    task: ModelTask | None = None  # what a model does, once its file is known
    pulled_bytes: int | None = None
    pull_bytes_total: int | None = None
    replicas: tuple[Replica, ...] = ()
    draining: tuple[str, ...] = ()
    rejected: str | None = None
    hindered: str | None = None
    rolled_out: bool = False
    revision: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """Everything. `problems` are mistakes in what is written now; while there are errors, `services` are as before."""

    number: int = 0  # of the snapshot; it grows by one with each change
    version: str
    instance: str
    pid: int
    directory: str
    follows: Follows
    environment: str | None
    listen: str
    gateway: ServiceStatus
    services: tuple[ServiceStatus, ...]
    problems: tuple[Problem, ...]
    foreign: int
    since: float
    settled: bool  # every service is ready, failed for good or stopped
    taken_up: bool  # what shall run is what is written now
    written: str | None  # a digest of what is written now, None before it was read
    rolled_out: bool  # every replica of what shall run is ready, and is reached through the gateway
    specs_rejected: bool  # the specs that were read last have errors, so they were not applied
