"""Where specs and models come from: the adapters behind ports.source and ports.texts."""

from bateau.sources.cache import CachedModel
from bateau.sources.catalogue import CatalogueEntry
from bateau.sources.models import Models

__all__ = ["CachedModel", "CatalogueEntry", "Models"]
