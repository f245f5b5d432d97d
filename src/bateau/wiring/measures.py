"""The history of measures of an instance: who writes it, and where it is read.

Called by wiring.cluster_measures and wiring.local.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from bateau.domain.usage_counters import by_model
from bateau.store.measure_writer import MeasureWriter
from bateau.store.measures import MeasureReader
from bateau.wiring.paths import Paths
from bateau.wiring.sampling import Sampler, Sources
from bateau.wiring.this_process import SystemClock

if TYPE_CHECKING:
    from bateau.wiring.local import LocalPlatform

_FOLDER: Final = "measures"


def measures_path(paths: Paths) -> Path:
    """Return where the history of an instance lies."""
    return paths.state / _FOLDER


def measure_reader(paths: Paths) -> MeasureReader:
    """Return the history for reading by another process than the control plane."""
    return MeasureReader(measures_path(paths), SystemClock().wall)


class Measured:
    """The history of the instance of this process, and what writes it. `sampler` measures the services.

    `server` is a Prometheus server that has the measures, too, which may need a `token`.
    """

    def __init__(self, platform: "LocalPlatform", *, token: str | None) -> None:
        clock, control, counters = platform.clock, platform.control, platform.accounts.counters

        def tokens() -> tuple[Mapping[str, int], Mapping[str, int]] | None:
            sums = by_model(counters.shown) if counters.is_known else None
            if sums is None:
                return None
            return (
                {model: each.tokens_in for model, each in sums.items()},
                {model: each.tokens_out for model, each in sums.items()},
            )

        sources = Sources(
            asked=platform.plane.ask,
            replica_pages=control.ports.site.runtime.metrics,
            tokens=tokens,
            replicas=lambda: control.observed.replicas,
            services=lambda: control.release.services,
            statuses=lambda: (*status.services, status.gateway) if (status := control.snapshots.latest) else (),
            gateways=lambda: frozenset(control.planes.proxies),
        )
        self.history = MeasureWriter(measures_path(platform.settings.paths), clock.wall)
        server = platform.settings.prometheus
        self.server = replace(server, token=token) if server else None
        self.sampler = Sampler(clock, sources, self.history)

    def close(self) -> None:
        """Write what waits."""
        self.history.close()
