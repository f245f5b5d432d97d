"""Specs x environment -> release, and the environment's patches for manifests."""

from bateau.hydrate.environments import Context, Exclusion, context
from bateau.hydrate.manifests import ManifestPatches
from bateau.hydrate.services import HydratedService, Hydration, hydrate

__all__ = ["Context", "Exclusion", "HydratedService", "Hydration", "ManifestPatches", "context", "hydrate"]
