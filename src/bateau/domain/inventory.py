"""What a site has: the machine, its programs, and the models that are there. Read by place and by render targets.

Observed by control through its ports. Machines are observed by observe.machine.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePath

from bateau.domain.model_file import ModelFile
from bateau.domain.placement import ModelCapacity


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """Cores and memory that this process may use: limits of its cgroup count, not only the hardware.

    `programs` has the paths of the engines that are installed, by name.
    """

    cores: int
    memory_bytes_total: int
    programs: Mapping[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True, slots=True, kw_only=True)
class Inventory:
    """What a workload can be given here. `files` and `capacities` go by service key.

    `directory` is where the documents lie, None where that does not matter.
    """

    machine: Machine | None = None
    directory: PurePath | None = None
    files: Mapping[str, ModelFile] = field(default_factory=dict[str, ModelFile])
    capacities: Mapping[str, ModelCapacity] = field(default_factory=dict[str, ModelCapacity])
