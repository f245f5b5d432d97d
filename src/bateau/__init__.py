"""Bateau carries AI services from a Git repository to where they run, and keeps them there."""

__version__ = "0.1.0"
