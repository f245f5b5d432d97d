"""From texts to one service of an environment, without a look at the others: for questions about values.

Called by wiring.explaining. control.path goes the same way for all, and judges what it finds.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bateau.domain.problem import Problem
from bateau.domain.workload import Workload
from bateau.hydrate import Exclusion, Hydration
from bateau.specs import read


@dataclass(frozen=True, kw_only=True)
class Asked:
    """The service that was asked for, None where there is none, and the keys of those that there are.

    `problems` are the mistakes of the texts and of this service in the environment. `exclusion` is what leaves it out.
    """

    service: Workload | None
    keys: Sequence[str]
    problems: tuple[Problem, ...]
    exclusion: Exclusion | None = None


def service_of(
    texts: Mapping[str, str],
    subject: str,
    environment: str | None,
    variables: Mapping[str, str],
    *,
    namespace: str | None = None,
) -> Asked:
    """Return the service that people call "chat" or "model/chat"."""
    reading = read(texts)
    hydration = Hydration(reading.specs, environment, variables, namespace=namespace)
    documents = {spec.key: spec for spec in reading.specs if spec.is_service}
    problems = [*reading.problems, *hydration.problems]
    service = exclusion = None
    for key, spec in sorted(documents.items()):
        if subject in (key, spec.name):
            hydrated = hydration.service(spec)
            service, exclusion = hydrated.service, hydrated.exclusion
            problems += hydrated.problems
            break
    return Asked(service=service, keys=sorted(documents), problems=tuple(problems), exclusion=exclusion)
