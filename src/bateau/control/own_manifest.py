"""From texts to one manifest that a service of ours makes, and no further: for questions about its fields.

Called by `explain`. control.assembly goes the same way for all, and judges what it finds.
"""

from collections.abc import Mapping

from bateau.control.neighbourhood import Neighbourhood, member_of
from bateau.domain.manifest import Manifest
from bateau.domain.unit import Whereabouts
from bateau.hydrate import ManifestPatches, hydrate
from bateau.render import render_service
from bateau.specs import read


def manifest_of(
    texts: Mapping[str, str], subject: str, environment: str | None, variables: Mapping[str, str], *, namespace: str
) -> Manifest | None:
    """Return the manifest that people call "Deployment/shop"; None where no service of ours makes it."""
    kind, _, name = subject.partition("/")
    reading = read(texts)
    release, _ = hydrate(reading.specs, environment, variables)
    around = Neighbourhood(
        (member_of(each, Whereabouts(namespace=namespace)) for each in release.services), environment, namespace
    )
    patches = ManifestPatches(reading.specs, environment, variables)
    for service in release.services:
        if service.name == name and not service.brings_documents:
            made = render_service(service, around.of(service.key), doubled=around.doubles(service.key))
            for manifest in patches.applied(made.manifests).manifests:
                if str(manifest.tree["kind"]).lower() == kind.lower():
                    return manifest
    return None
