"""Turn the policies of an environment into admission policies for an API server.

Called by wiring.admission. Pure.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from bateau.domain.finding import Finding
from bateau.domain.problem import Problem
from bateau.hydrate import Hydration
from bateau.kit.json_value import ReadObject
from bateau.policy import Policy, admission_policies, understand
from bateau.specs import read


@dataclass(frozen=True, kw_only=True)
class Admission:
    """ValidatingAdmissionPolicies with their bindings. `findings` name the rules that an API server cannot enforce."""

    trees: tuple[ReadObject, ...]
    findings: tuple[Finding, ...]
    problems: tuple[Problem, ...]


def admission(
    texts: Mapping[str, str], environment: str | None, *, today: date, starter: Sequence[Policy] = ()
) -> Admission:
    """Return the policies in `texts`, together with `starter`, for the cluster of an environment."""
    reading = read(texts)
    policies, unsound = understand(reading.specs, doubtful=reading.doubtful)
    hydration = Hydration(reading.specs, environment)
    where = hydration.environment
    made = [admission_policies(policy, today=today, environment=where) for policy in (*policies, *starter)]
    return Admission(
        trees=tuple(tree for trees, _ in made for tree in trees),
        findings=tuple(finding for _, findings in made for finding in findings),
        problems=(*reading.problems, *hydration.problems, *unsound),
    )
