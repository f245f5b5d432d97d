"""How long to wait for the network, and how often to try again.

Handed to Models by wiring or a test; read by web and download.

Invariant: no bound on the whole of a download; only silence ends it, so a slow line still gets its model.
"""

from dataclasses import dataclass, field

from bateau.kit.backoff import Backoff


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """Times in seconds. `tries` counts attempts in a row that brought nothing new, `tries_max` all of one fetch."""

    connect_s: float = 15.0
    silence_s: float = 30.0
    tries: int = 5
    tries_max: int = 100
    backoff: Backoff = field(default_factory=lambda: Backoff(initial_s=0.5, ceiling_s=10.0))
