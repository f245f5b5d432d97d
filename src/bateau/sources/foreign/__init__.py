"""Kubernetes objects that an App includes: the manifests, kustomizations and Helm charts of the repository."""

from bateau.sources.foreign.documents import ForeignDocuments

__all__ = ["ForeignDocuments"]
