"""Spec x environment -> release; and the patches that an environment has for manifests."""

from bateau.hydrate.manifests import ManifestPatches
from bateau.hydrate.services import SERVICES, Hydrated, Hydration, hydrate

__all__ = ["SERVICES", "Hydrated", "Hydration", "ManifestPatches", "hydrate"]
