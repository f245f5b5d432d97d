"""From texts to one service of an environment, or to one of its manifests, and no further: for questions about values.

Called by `explain`. control.path and control.assembly go the same way for all, and judge what they find.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bateau.control.neighbourhood import Neighbourhood, member_of
from bateau.domain.manifest import Manifest
from bateau.domain.problem import Problem
from bateau.domain.release import Service
from bateau.hydrate import SERVICES, Hydration, ManifestPatches, hydrate
from bateau.render import render_service
from bateau.specs import read


@dataclass(frozen=True, kw_only=True)
class Asked:
    """The service that was asked for, None where there is none, and the keys of those that there are.

    `problems` are the mistakes of the texts and of this service in the environment.
    """

    service: Service | None
    keys: Sequence[str]
    problems: tuple[Problem, ...]


def service_of(texts: Mapping[str, str], subject: str, environment: str | None, variables: Mapping[str, str]) -> Asked:
    """Return the service that people call "chat" or "model/chat"."""
    reading = read(texts)
    hydration = Hydration(reading.specs, environment, variables)
    documents = {f"{spec.kind.lower()}/{spec.name}": spec for spec in reading.specs if spec.kind in SERVICES}
    problems = [*reading.problems, *hydration.problems]
    service = None
    for key, spec in sorted(documents.items()):
        if subject in (key, spec.name):
            hydrated = hydration.service(spec)
            service = hydrated.service
            problems += hydrated.problems
            break
    return Asked(service=service, keys=sorted(documents), problems=tuple(problems))


def manifest_of(
    texts: Mapping[str, str], subject: str, environment: str | None, variables: Mapping[str, str], *, namespace: str
) -> Manifest | None:
    """Return the manifest that people call "Deployment/shop"; None where no service of ours makes it."""
    kind, _, name = subject.partition("/")
    reading = read(texts)
    release, _ = hydrate(reading.specs, environment, variables)
    around = Neighbourhood((member_of(each, namespace) for each in release.services), environment, namespace)
    patches = ManifestPatches(reading.specs, environment, variables)
    for service in release.services:
        if service.name == name and not service.brings_documents:
            made = render_service(service, around.of(service.key), doubled=around.doubles(service.key))
            for manifest in patches.applied(made.manifests).manifests:
                if str(manifest.tree["kind"]).lower() == kind.lower():
                    return manifest
    return None
