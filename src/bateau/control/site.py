"""A site is a place to run: its machine, its render target, the runtime of its units, and the planes of its traffic.

Made by wiring, one for each site; each has a control loop of its own.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import PurePath

from bateau.domain.inventory import Machine
from bateau.ports.plane import Plane
from bateau.ports.runtime import Runtime


@dataclass(frozen=True, kw_only=True)
class Site:
    """One machine or cluster. `target` names the render target of its units, `directory` is where the specs are."""

    name: str
    target: str
    runtime: Runtime
    planes: tuple[Plane, ...]
    machine: Callable[[], Machine]
    directory: PurePath
