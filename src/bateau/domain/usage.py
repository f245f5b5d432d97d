"""The CPU and memory that the pods of a service use on a cluster.

Measured by runtimes.kubernetes; shown by cli.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """The use of one service: of `measured` of its `pods`. CPU is in thousandths of a core."""

    service: str
    pods: int
    measured: int
    cpu_millicores: int | None
    cpu_requested_millicores: int
    memory_bytes: int | None
    memory_requested_bytes: int
