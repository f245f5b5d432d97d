"""Release x inventory -> placement."""

from bateau.place.capacity import place

__all__ = ["place"]
