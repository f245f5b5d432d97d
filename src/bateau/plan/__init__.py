"""Desired x observed -> ordered steps, for replicas (`plan`) and for manifests (`compare`)."""

from bateau.plan.delivery import Documents, compare
from bateau.plan.difference import digest, is_secret, reads_environment
from bateau.plan.gaps import Unrendered
from bateau.plan.pairing import stem
from bateau.plan.removals import Limits
from bateau.plan.rolling import plan

__all__ = ["Documents", "Limits", "Unrendered", "compare", "digest", "is_secret", "plan", "reads_environment", "stem"]
