"""From texts to one service of an environment, without a look at the others: for questions about values.

Called by `explain`. control.path goes the same way for all, and judges what it finds.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bateau.domain.problem import Problem
from bateau.domain.workload import Workload
from bateau.hydrate import Hydration
from bateau.specs import read


@dataclass(frozen=True, kw_only=True)
class Asked:
    """The service that was asked for, None where there is none, and the keys of those that there are.

    `problems` are the mistakes of the texts and of this service in the environment.
    """

    service: Workload | None
    keys: Sequence[str]
    problems: tuple[Problem, ...]


def service_of(texts: Mapping[str, str], subject: str, environment: str | None, variables: Mapping[str, str]) -> Asked:
    """Return the service that people call "chat" or "model/chat"."""
    reading = read(texts)
    hydration = Hydration(reading.specs, environment, variables)
    documents = {spec.key: spec for spec in reading.specs if spec.is_service}
    problems = [*reading.problems, *hydration.problems]
    service = None
    for key, spec in sorted(documents.items()):
        if subject in (key, spec.name):
            hydrated = hydration.service(spec)
            service = hydrated.service
            problems += hydrated.problems
            break
    return Asked(service=service, keys=sorted(documents), problems=tuple(problems))
