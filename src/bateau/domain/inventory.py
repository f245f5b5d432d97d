"""The inventory of a site: its machine, its programs and its models. Read by place and by render targets.

Observed by control through its ports. Machines are observed by observe.machine.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePath

from bateau.domain.model_file import ModelFile
from bateau.domain.offers import Offers
from bateau.domain.placement import ModelCapacity


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """Cores and memory that this process may use, within the limits of its cgroup.

    `programs` has the paths of the installed engines by name.
    """

    cores: int
    memory_bytes_total: int
    programs: Mapping[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True, slots=True, kw_only=True)
class Inventory:
    """The resources that a site can give to workloads. The keys of `files` and `capacities` are service keys.

    `directory` is the directory of the documents, None if it does not matter. `offers` are the accelerators of a
    cluster, None if they are not known.
    """

    machine: Machine | None = None
    directory: PurePath | None = None
    files: Mapping[str, ModelFile] = field(default_factory=dict[str, ModelFile])
    capacities: Mapping[str, ModelCapacity] = field(default_factory=dict[str, ModelCapacity])
    offers: Offers | None = None
