"""Kubernetes objects that come from elsewhere: plain manifests, kustomizations and Helm charts of the repository."""

from bateau.sources.foreign.documents import ForeignDocuments

__all__ = ["ForeignDocuments"]
