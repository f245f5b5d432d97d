"""What shall run: every service of one environment.

Made by hydrate from specs; read by place and control.
"""

from dataclasses import dataclass

from bateau.domain.workload import Workload


@dataclass(frozen=True, kw_only=True)
class Release:
    """All services, in the order of their keys, as one environment has them (None: as they are written)."""

    environment: str | None = None
    services: tuple[Workload, ...] = ()
