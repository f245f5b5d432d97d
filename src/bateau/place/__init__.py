"""Release x inventory -> placement, and the room that is left."""

from bateau.place.capacity import place
from bateau.place.room import Room, rooms

__all__ = ["Room", "place", "rooms"]
