"""What shall run: services with every field filled in.

Made by hydrate from specs; read by place, by the templates of runtimes, by plan and by the faces.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from bateau.domain.origin import Origin, Origins
from bateau.domain.spec import AppSpec, ModelSpec
from bateau.kit.position import Position


@dataclass(frozen=True, kw_only=True)
class Service:
    """A model or an app, ready to be placed. `key` names it everywhere: "model/chat".

    `spec` is typed and in numbers; `tree` is the whole document as it would be written with nothing left out
    (camelCase, "2Gi", defaults filled in), and `origins` has the chain of every leaf of `tree`. `positions` has the
    places of what stands in the document itself.
    """

    kind: Literal["Model", "App"]
    name: str
    labels: Mapping[str, str]
    spec: ModelSpec | AppSpec
    position: Position
    positions: Mapping[str, Position]
    tree: Mapping[str, Any] = field(default_factory=dict[str, Any])
    origins: Origins = field(default_factory=dict[str, tuple[Origin, ...]])

    @property
    def key(self) -> str:
        """Kind and name."""
        return f"{self.kind.lower()}/{self.name}"

    @property
    def brings_documents(self) -> bool:
        """Whether it is made of foreign documents: manifests, a kustomization or a chart."""
        spec = self.spec
        return isinstance(spec, AppSpec) and any(
            each is not None for each in (spec.manifests, spec.kustomization, spec.chart)
        )


@dataclass(frozen=True, kw_only=True)
class Release:
    """All services, in the order of their keys, as one environment has them (None: as they are written)."""

    environment: str | None = None
    services: tuple[Service, ...] = ()
