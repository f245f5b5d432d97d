"""Ordered steps from what runs to what shall run, each with its reason.

Made by plan; carried out by control through the engine.
"""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class Desired:
    """How many replicas of which revision a service shall have.

    `surge` False stops the old before the new is started: for what cannot run twice.
    """

    service: str
    revision: str
    replicas: int
    drain_timeout_s: float = 0.0
    surge: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Draining:
    """A replica that gets no new requests. `in_flight` is None where the gateway cannot be asked."""

    seconds: float
    in_flight: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One thing to do to one replica, and why."""

    act: Literal["start", "drain", "keep", "stop"]
    service: str
    replica: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Steps in the order in which they may be carried out."""

    steps: tuple[Step, ...] = ()
