"""The images that the tests of this folder share."""

from cluster.images import app, loaded, model

__all__ = ["app", "loaded", "model"]
