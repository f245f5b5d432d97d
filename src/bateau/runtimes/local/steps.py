"""Ordered steps from the existing replicas to the desired ones, each with its reason.

Made by rolling; carried out by runtime.
"""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class Desired:
    """The number of replicas that a service should have, and their revision.

    `max_surge` is the number of replicas beyond `replicas` that may run while one revision replaces another. With 0,
    the old replicas are stopped before new ones start, for services that cannot run twice at the same time.
    """

    service: str
    revision: str
    replicas: int
    drain_timeout_s: float = 0.0
    max_surge: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Draining:
    """A replica that gets no new requests. `in_flight` is None if no plane knows it.

    `seconds` count from the moment at which every proxy knew of the drain; they are 0.0 before it.
    """

    seconds: float
    in_flight: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One action on one replica, with its reason."""

    act: Literal["start", "drain", "keep", "stop"]
    service: str
    replica: str
    reason: str
