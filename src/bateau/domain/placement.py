"""The share of a machine that each service gets, and whether it fits.

Made by place; read by render.process (slots, context, threads) and by the faces.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from bateau.domain.problem import Problem


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelCapacity:
    """The capacity of one replica of a model.

    `context` is in tokens per slot. `memory_bytes` is an estimate from the model's header, None if that is not enough.
    """

    slots: int
    context: int
    threads: int
    memory_bytes: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """Capacity by service key, services that cannot fit with the reason, and warnings."""

    capacities: Mapping[str, ModelCapacity] = field(default_factory=dict[str, ModelCapacity])
    refused: Mapping[str, Problem] = field(default_factory=dict[str, Problem])
    problems: tuple[Problem, ...] = ()
