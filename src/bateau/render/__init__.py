"""Release to manifests, and manifests against their schemas."""

from bateau.ports.target import Rendering
from bateau.render.release import render
from bateau.render.schemas import Schemas
from bateau.render.validation import validate

__all__ = ["Rendering", "Schemas", "render", "validate"]
