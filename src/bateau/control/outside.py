"""The ports through which a control plane reaches the outside world.

Made by wiring from real adapters, and by tests from those of `testing`; used throughout control.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bateau.control.reading import Reader
from bateau.control.site import Site
from bateau.domain.status import GatewayFilters
from bateau.domain.workload import Workload
from bateau.ports.clock import Clock
from bateau.ports.declared_keys import DeclaredKeyring
from bateau.ports.events import Events
from bateau.ports.memory import Memory
from bateau.ports.numbers import PortNumbers
from bateau.ports.probe import Prober
from bateau.ports.revisions import Revisions
from bateau.ports.service_keys import ServiceKeyring
from bateau.ports.source import Source
from bateau.ports.texts import Texts


@dataclass(frozen=True, kw_only=True)
class Ports:
    """The ports of one control plane, and the settings that go with them.

    `remote_url` is where other machines reach the endpoint, None if they do not. `who` is recorded in the history.
    `no_history` is the reason if there are no `revisions`. `numbers` hands out the loopback ports of apps. Without a
    `prober`, external APIs are not probed. `own_services` are Bateau's own, which run beside those of the
    specs. `service_keys` has the keys by which services ask models,
    `declared_keys` admits those that the specs declare. `no_affinity` says why the planes cannot balance by
    conversations, None if they can. `filters` are those of the gateway, for the status.
    """

    site: Site
    texts: Texts
    reader: Reader
    source: Source
    memory: Memory
    clock: Clock
    numbers: PortNumbers
    secret: Callable[[str], str | None]
    listen_url: str
    remote_url: str | None = None
    prober: Prober | None = None
    environment: str | None = None
    revisions: Revisions | None = None
    no_history: str = ""
    who: str = "unknown"
    own_services: Sequence[Workload] = ()
    service_keys: ServiceKeyring | None = None
    declared_keys: DeclaredKeyring | None = None
    no_affinity: str | None = None
    filters: GatewayFilters | None = None
    events: Sequence[Events] = ()
