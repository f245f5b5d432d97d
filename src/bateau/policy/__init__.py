"""Objects x policies -> findings; and the same rules as an API server takes them."""

from bateau.policy.admission import admission_policies
from bateau.policy.judging import Judge, judge
from bateau.policy.matching import judges_manifests
from bateau.policy.subject import Subject, of_manifest, of_service, of_spec
from bateau.policy.written import Policy, understand

__all__ = [
    "Judge",
    "Policy",
    "Subject",
    "admission_policies",
    "judge",
    "judges_manifests",
    "of_manifest",
    "of_service",
    "of_spec",
    "understand",
]
