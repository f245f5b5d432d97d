"""Bateau deploys AI services from a Git repository and keeps them running."""

__version__ = "0.1.0"
