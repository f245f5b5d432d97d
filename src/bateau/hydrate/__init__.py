"""Spec x environment -> release; and the patches that an environment has for manifests."""

from bateau.hydrate.manifests import patch_manifests, patches_manifests
from bateau.hydrate.services import hydrate

__all__ = ["hydrate", "patch_manifests", "patches_manifests"]
