"""Spec x environment -> release; and the patches that an environment has for manifests."""

from bateau.hydrate.manifests import ManifestPatches
from bateau.hydrate.services import HydratedService, Hydration, hydrate

__all__ = ["HydratedService", "Hydration", "ManifestPatches", "hydrate"]
