"""Spec x environment -> release."""

from bateau.hydrate.services import hydrate

__all__ = ["hydrate"]
