"""The desired state: every service of one environment.

Made by hydrate from specs; read by place and control.
"""

from dataclasses import dataclass

from bateau.domain.workload import Workload


@dataclass(frozen=True, kw_only=True)
class Release:
    """All services of an environment, in the order of their keys. `environment` is None if none was chosen."""

    environment: str | None = None
    services: tuple[Workload, ...] = ()
