"""The port for the output of replicas.

Satisfied by runtimes.local.logs.LogFolder on a machine and by wiring.pod_logs.PodLogs on a cluster; used by the faces
through wiring. The logs of a machine outlive its control plane and the replicas.
"""

from collections.abc import AsyncIterator, Sequence
from typing import Protocol


class LiveLogs(Protocol):
    """The logs of the replicas that run, for a page that follows them."""

    def of(self, service: str) -> Sequence[str]:
        """Return the ids of the replicas of a service, by its key ("model/chat"), that have a log."""
        ...

    def follow(self, replica_id: str, *, lines: int = 0, every_s: float = 0.2) -> AsyncIterator[str]:
        """Yield the last `lines` lines, then each new one as it is written; ends when the caller stops asking.

        New lines are looked for every `every_s` seconds.
        """
        ...


class Logs(LiveLogs, Protocol):
    """The logs of one site, by the id of the replica that wrote them ("model.chat.0")."""

    def ids(self) -> Sequence[str]:
        """Return the ids of all replicas that have a log, sorted."""
        ...

    def tail(self, replica_id: str, lines: int) -> Sequence[str]:
        """Return the last lines of a log, oldest first; none if it does not exist."""
        ...
