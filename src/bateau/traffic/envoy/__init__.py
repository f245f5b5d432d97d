"""Envoy as the data plane: what it is told at start, what it discovers, and how to ask it."""

from bateau.traffic.envoy.plane import EnvoyPlane

__all__ = ["EnvoyPlane"]
