"""Render the one manifest that a question is about, unless it comes from a foreign document.

Called by wiring.explaining. `explain` must answer quickly. control.assembly renders all manifests in the same way, and
checks them.
"""

from collections.abc import Callable, Mapping

from bateau.control.neighbourhood import Neighbourhood, member_of
from bateau.domain.manifest import Manifest
from bateau.domain.unit import Whereabouts
from bateau.hydrate import ManifestPatches, hydrate
from bateau.render import render_service
from bateau.specs import read


def manifest_of(
    texts: Mapping[str, str],
    name: str,
    fits: Callable[[Manifest], bool],
    environment: str | None,
    variables: Mapping[str, str],
    *,
    namespace: str | None,
) -> Manifest | None:
    """Return the manifest that `fits`, of the services with `name`; None if Bateau makes no such manifest."""
    reading = read(texts)
    release, _ = hydrate(reading.specs, environment, variables, namespace=namespace)
    around = Neighbourhood((member_of(each, Whereabouts()) for each in release.services), environment)
    patches = ManifestPatches(reading.specs, environment, variables)
    for service in release.services:
        if service.name == name and not service.brings_documents:
            made = render_service(service, around.of(service.key), doubled=around.doubles(service.key))
            if found := next(filter(fits, patches.applied(made.manifests).manifests), None):
                return found
    return None
