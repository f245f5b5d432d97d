"""What shall run: services with every field filled in.

Made by hydrate from specs; read by place, by the engines' templates, by plan and by the faces.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from bateau.domain.spec import AppSpec, ModelSpec
from bateau.kit.position import Position


@dataclass(frozen=True, kw_only=True)
class Service:
    """A model or an app, ready to be placed. `key` names it everywhere: "model/chat"."""

    kind: Literal["Model", "App"]
    name: str
    labels: Mapping[str, str]
    spec: ModelSpec | AppSpec
    position: Position
    positions: Mapping[str, Position]

    @property
    def key(self) -> str:
        """Kind and name."""
        return f"{self.kind.lower()}/{self.name}"


@dataclass(frozen=True, kw_only=True)
class Release:
    """All services, in the order of their keys."""

    services: tuple[Service, ...] = ()
