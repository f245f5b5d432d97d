"""Release to manifests, and manifests against their schemas."""

from bateau.ports.target import Rendering, Surroundings
from bateau.render.marks import MarkedOrigins, chain_from
from bateau.render.release import TARGETS, doubled_names, render_service, used_by, users_of
from bateau.render.schemas import Kubernetes, Schemas, Shipped
from bateau.render.validation import repeated, validate

__all__ = [
    "TARGETS",
    "Kubernetes",
    "MarkedOrigins",
    "Rendering",
    "Schemas",
    "Shipped",
    "Surroundings",
    "chain_from",
    "doubled_names",
    "render_service",
    "repeated",
    "used_by",
    "users_of",
    "validate",
]
