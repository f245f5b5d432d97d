"""Ordered steps from the replicas that there are to those that there should be, each with its reason.

Made by rolling; carried out by runtime.
"""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class Desired:
    """How many replicas of which revision a service should have.

    `max_surge` is how many replicas beyond `replicas` may run while a revision replaces another. 0 stops the old before
    the new is started: for what cannot run twice.
    """

    service: str
    revision: str
    replicas: int
    drain_timeout_s: float = 0.0
    max_surge: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Draining:
    """A replica that gets no new requests. `in_flight` is None where no plane can tell."""

    seconds: float
    in_flight: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One thing to do to one replica, and why."""

    act: Literal["start", "drain", "keep", "stop"]
    service: str
    replica: str
    reason: str
