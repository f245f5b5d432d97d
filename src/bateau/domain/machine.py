"""What a machine has. Observed by observe.machine; read by place and by the local runtime's templates."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """Cores and memory that this process may use: limits of its cgroup count, not only the hardware."""

    cores: int
    memory_bytes_total: int
