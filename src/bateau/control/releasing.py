"""Turn texts into a single service of an environment, without hydrating the others, to answer questions about values.

Called by wiring.explaining. control.path does the same for all services, and judges them by the policies.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bateau.domain.problem import Problem
from bateau.domain.workload import Workload
from bateau.hydrate import Exclusion, Hydration
from bateau.specs import read


@dataclass(frozen=True, kw_only=True)
class Asked:
    """The requested service, None if it does not exist, and the keys of all services.

    `problems` are the errors in the texts, and of this service in the environment. `exclusion` says why the environment
    leaves the service out.
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
    """Return the service with the name "chat" or the key "model/chat"."""
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
