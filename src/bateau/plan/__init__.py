"""Desired x observed -> ordered steps."""

from bateau.plan.rolling import plan

__all__ = ["plan"]
