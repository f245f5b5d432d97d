"""Envoy as the data plane: its bootstrap, the resources that it discovers, and its admin interface."""

from bateau.traffic.envoy.listener import FrontSettings
from bateau.traffic.envoy.plane import EnvoyPlane

__all__ = ["EnvoyPlane", "FrontSettings"]
