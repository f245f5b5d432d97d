"""State on disk."""

from bateau.store.state_file import StateFile

__all__ = ["StateFile"]
