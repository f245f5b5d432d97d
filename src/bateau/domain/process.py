"""What to run as a process: the template that every replica of a revision is made from.

Made by render.process, and by a plane for its proxy; run and kept by the local runtime.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

from bateau.domain.workload import Resources, Restart


def port_word(name: str) -> str:
    """Return the word that stands for the number of a port in a template.

    >>> port_word("http")
    '{port:http}'
    """
    return f"{{port:{name}}}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeTarget:
    """How to ask a process whether it is well. `address` is "host:port" or the path of a unix socket."""

    kind: Literal["http", "tcp", "grpc"]
    address: str
    path: str = "/"


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbePlan:
    """When to probe, and when to give up. Times in seconds."""

    target: ProbeTarget
    interval_s: float = 5.0
    timeout_s: float = 5.0
    failure_threshold: int = 3
    start_timeout_s: float = 120.0


# The words in a template's texts that stand for something else. Other braces may be JSON in an argument.
WORD: Final = re.compile(r"\{(replica|socket|port:[^{}\s]+|withheld:[^{}\s]+)\}")


def withheld_word(key: str) -> str:
    """Return the word for a value that is kept in memory only. A key has no space and no brace.

    >>> withheld_word("spec.env.TOKEN")
    '{withheld:spec.env.TOKEN}'
    """
    return f"{{withheld:{key}}}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessTemplate:
    """A command and all that its supervision needs. `runner` names the local runtime's runner for it.

    In `command` and `environment` the words `{replica}` (its id), `{socket}` (path of the replica's own unix socket)
    and `{port:NAME}` (a loopback port handed out to the replica under NAME) are replaced when a replica starts; also in
    the addresses of `probe` and of `metrics` (its Prometheus page). In them, in `working_directory` and in
    `probe.target.path`, `{withheld:KEY}` stands for a value that is kept in memory only: `withheld[KEY]`, or None where
    the template was read from disk.
    """

    revision: str
    command: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict[str, str])
    working_directory: str | None = None
    port_names: tuple[str, ...] = ()
    uses_socket: bool = False
    probe: ProbePlan | None = None
    metrics: ProbeTarget | None = None
    resources: Resources = field(default_factory=Resources)
    stop_timeout_s: float = 10.0
    drain_timeout_s: float = 30.0
    stop_signal: str = "SIGTERM"
    restart: Restart = "always"
    runner: str = "process"
    withheld: Mapping[str, str | None] = field(default_factory=dict[str, str | None])

    @property
    def is_complete(self) -> bool:
        """Whether everything that was withheld from the disk is known."""
        return all(value is not None for value in self.withheld.values())
