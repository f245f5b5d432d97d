"""Desired x observed manifests -> the changes, in the order in which they may be carried out."""

from bateau.plan.delivery import Documents, autoscaled, compare
from bateau.plan.difference import digest
from bateau.plan.folding import fold
from bateau.plan.gaps import Unrendered
from bateau.plan.images import ImageDifference, image_differences
from bateau.plan.pairing import stem
from bateau.plan.removals import Limits

__all__ = [
    "Documents",
    "ImageDifference",
    "Limits",
    "Unrendered",
    "autoscaled",
    "compare",
    "digest",
    "fold",
    "image_differences",
    "stem",
]
