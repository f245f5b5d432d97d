"""Specs x environment -> release, and the environment's patches for manifests."""

from bateau.hydrate.environments import Exclusion, context
from bateau.hydrate.manifests import ManifestPatches
from bateau.hydrate.services import HydratedService, Hydration, hydrate

__all__ = ["Exclusion", "HydratedService", "Hydration", "ManifestPatches", "context", "hydrate"]
