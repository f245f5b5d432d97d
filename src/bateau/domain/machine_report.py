"""A machine with what it has and what is used, as the pages of the dashboard show it.

Measured by observe.hardware; shown by ui. None always means: not known.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Accelerator:
    """An accelerator. `use` is the share of the time in which it worked."""

    name: str
    memory_bytes_total: int | None = None
    memory_bytes_used: int | None = None
    use: float | None = None
    power_w: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Disk:
    """A file system, by what Bateau keeps there."""

    holds: str
    bytes_total: int
    bytes_free: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Hardware:
    """What a machine has and uses now. `cores_used` and `power_w` are means since the measurement before.

    `power_w` is that of the processors, without accelerators.
    """

    processor: str | None = None
    cores_used: float | None = None
    memory_bytes_available: int | None = None
    accelerators: tuple[Accelerator, ...] = ()
    disks: tuple[Disk, ...] = ()
    power_w: float | None = None
    cores_by_session: Mapping[int, float | None] = field(default_factory=dict[int, float | None])
