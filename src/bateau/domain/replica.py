"""One running copy of a service, as its runtime observes it.

Observed by runtimes; read by control (which endpoints get requests) and by the faces.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal


class ReplicaState(StrEnum):
    """The phase of a replica. Only a READY replica gets new requests."""

    STARTING = "Starting"
    READY = "Ready"
    UNREADY = "Unready"  # it was ready, but its probes fail now
    BACKOFF = "BackOff"  # it died, and waits for its next start
    STOPPING = "Stopping"
    DONE = "Done"  # a task that has succeeded, and is not started again
    FAILED = "Failed"  # a task that has failed, and is not started again


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangedFile:
    """A file that a process was started from, and that is no longer the same on disk."""

    path: str
    how: Literal["edited", "replaced", "removed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class End:
    """How and when a process ended. `when_s` is in seconds of the wall clock."""

    when_s: float
    says: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Replica:
    """A replica and its condition.

    `service` is "model/chat", "app/shop" or "gateway/envoy"; `id` is unique on the machine ("model.chat.2").
    `addresses` maps port names to "127.0.0.1:PORT" or the path of a unix socket (name "socket"). `zone` is that of its
    node, None if the site has none or it is not known.
    `since` is in seconds of the wall clock; `restarts` counts all restarts of the replica. `changed_files` are those
    that its process was started from and that have changed since then; None if that is unknown. `last_end` is that of
    its process before, None if none has ended or nobody knows.
    """

    id: str
    service: str
    revision: str
    state: ReplicaState
    pid: int | None
    addresses: Mapping[str, str] = field(default_factory=dict[str, str])
    zone: str | None = None
    restarts: int = 0
    since: float = 0.0
    reason: str | None = None
    last_end: End | None = None
    log_path: str | None = None
    last_log: tuple[str, ...] = ()
    limits: str | None = None  # "enforced by cgroup", "not enforced: ..." or None without limits
    adopted: bool = False
    draining: bool = False  # it gets no new requests
    drain_timeout_s: float = 30.0  # from the document that it was made for
    changed_files: tuple[ChangedFile, ...] | None = None
