"""Everything outside that a control plane works with.

Made by wiring from real adapters, and by tests from those of `testing`; used throughout control.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import PurePath

from bateau.domain.inventory import Machine
from bateau.ports.clock import Clock
from bateau.ports.memory import Memory
from bateau.ports.plane import Plane
from bateau.ports.revisions import Revisions
from bateau.ports.runtime import Runtime
from bateau.ports.source import Source
from bateau.ports.texts import Texts


@dataclass(frozen=True, kw_only=True)
class Ports:
    """The ports of one control plane, and the settings that go with them.

    `variables` are what `env()` finds; `who` is written into the history. `no_history` says why there are no
    `revisions` where there should be.
    """

    texts: Texts
    source: Source
    runtime: Runtime
    directory: PurePath
    plane: Plane
    memory: Memory
    clock: Clock
    machine: Callable[[], Machine]
    free_port: Callable[[], int]
    secret: Callable[[str], str | None]
    listen_url: str
    environment: str | None = None
    variables: Mapping[str, str] = field(default_factory=dict[str, str])
    revisions: Revisions | None = None
    no_history: str = ""
    who: str = "unknown"
