"""How much of a machine each service gets, and whether it fits.

Made by place; read by render.process (slots, context, threads) and by the faces.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from bateau.domain.problem import Problem


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelCapacity:
    """What one replica of a model is given.

    Context in tokens a slot; memory is an estimate from the model's header, None where that does not say enough.
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
