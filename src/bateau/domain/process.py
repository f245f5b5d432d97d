"""The template of a process: every replica of a revision is made from it.

Made by render.process, and by a plane for its proxy; run and kept by the local runtime.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

from bateau.domain.workload import Resources, Restart


def port_word(name: str) -> str:
    """Return the placeholder for a port number in a template.

    >>> port_word("http")
    '{port:http}'
    """
    return f"{{port:{name}}}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeTarget:
    """How to probe a process. `address` is "host:port" or the path of a unix socket."""

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


# The placeholders in the texts of a template. Other braces may be JSON in an argument.
WORD: Final = re.compile(r"\{(replica|socket|port:[^{}\s]+|withheld:[^{}\s]+)\}")


# The withheld value with the API key of the service itself.
SERVICE_KEY: Final = "bateau.key"


def withheld_word(key: str) -> str:
    """Return the placeholder for a value that is kept in memory only. A key has no space and no brace.

    >>> withheld_word("spec.env.TOKEN")
    '{withheld:spec.env.TOKEN}'
    """
    return f"{{withheld:{key}}}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessTemplate:
    """A command and all that its supervision needs. `runner` names the local runtime's runner for it.

    When a replica starts, these placeholders are replaced in `command`, in `environment`, and in the addresses of
    `probe` and `metrics` (its Prometheus page): `{replica}` (its id), `{socket}` (the path of its own unix socket) and
    `{port:NAME}` (the loopback port that it gets under NAME). There, in `working_directory` and in `probe.target.path`,
    `{withheld:KEY}` is the placeholder of a value that is kept in memory only: `withheld[KEY]`, which is None if the
    template was read from disk.
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
        """Whether all withheld values are known."""
        return all(value is not None for value in self.withheld.values())
