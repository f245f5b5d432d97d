"""Choose what a plan compares the specs with: clusters, a commit, a directory of manifests or a bundle.

Called by cli.
"""

import asyncio
from collections.abc import Sequence
from pathlib import Path

from bateau.control.destinations import Destination, clusters_in, destinations
from bateau.domain.change import Delivery
from bateau.domain.problem import Severity
from bateau.sources.spec_files import SpecFiles
from bateau.specs import read
from bateau.wiring.delivery import planned, rendered
from bateau.wiring.question import Question


def plans(
    question: Question,
    *,
    in_git: bool,
    commits: tuple[str, str] | None,
    against: Path | str | None,
    confirmed: int | None = None,
) -> Sequence[Delivery]:
    """Return a plan for each cluster of the environment, in its order; or one plan.

    There is one for two commits, for `against` (a bundle or a directory of manifests), for an environment without
    clusters, and with `in_git`. `confirmed` is the confirmed number of removals. Raises ControlError and the
    SourceError family. A cluster that cannot be reached is reported in its plan.
    """
    if commits or against:
        return (planned(question, commits=commits, against=against, confirmed=confirmed),)
    made = rendered(question)
    places = () if in_git else clusters_in(made, question.environment, namespace=question.namespace)
    if places:
        from bateau.wiring.clusters import plans_on  # other plans need no client of a cluster

        return asyncio.run(plans_on(question, places, made, confirmed=confirmed))
    return (planned(question, commits=None, against=None, confirmed=confirmed, made=made),)


def clusters_of(question: Question) -> tuple[Destination, ...]:
    """Return the clusters of an environment; none if it runs on this machine. Raises ControlError."""
    reading = read(SpecFiles(question.directory, default={}).read())
    return destinations(reading, question.environment, namespace=question.namespace)


def why_without_clusters(question: Question) -> str:
    """Return the reason why an environment has no clusters: it names none, does not exist, or cannot be read."""
    reading = read(SpecFiles(question.directory, default={}).read())
    environments = sorted(spec.name for spec in reading.specs if spec.kind == "Environment")
    if question.environment in environments:
        return f"{question.environment} names no clusters"
    if any(problem.severity is Severity.ERROR for problem in reading.problems):
        return f"{question.environment} is not known, because the specs have errors; see `bateau check`"
    return f"there is no environment {question.environment}; there is {', '.join(environments) or 'none'}"
