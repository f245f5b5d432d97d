"""Desired x observed -> ordered steps, for replicas (`plan`) and for manifests (`compare`)."""

from bateau.plan.delivery import Documents, Limits, compare
from bateau.plan.difference import digest, is_secret, reads_environment
from bateau.plan.rolling import plan

__all__ = ["Documents", "Limits", "compare", "digest", "is_secret", "plan", "reads_environment"]
