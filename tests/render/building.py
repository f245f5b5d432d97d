"""Releases from the text of specs."""

from bateau.control.neighbourhood import Neighbourhood, member_of
from bateau.domain.inventory import Inventory
from bateau.domain.offers import Offers
from bateau.domain.release import Release
from bateau.domain.unit import Objects, Whereabouts
from bateau.hydrate import hydrate
from bateau.render import Rendering, render_service
from bateau.specs import read

HEAD = "apiVersion: bateau.dev/v1alpha1\n"


def release_of(*documents: str) -> Release:
    """Hydrate documents that have no errors in them."""
    reading = read({"a.yaml": "---\n".join(HEAD + document for document in documents)})
    release, problems = hydrate(reading.specs)
    assert [problem.says for problem in (*reading.problems, *problems) if problem.severity == "error"] == []
    return release


def render(release: Release, *, namespace: str = "default", offers: Offers | None = None) -> Rendering:
    """Render every service of a release among the others, on a cluster with these accelerators."""
    members = [member_of(service, Whereabouts(namespace=namespace)) for service in release.services]
    around = Neighbourhood(members, release.environment)
    made = [
        render_service(s, around.of(s.key, Inventory(offers=offers)), doubled=around.doubles(s.key))
        for s in sorted(release.services, key=lambda each: each.key)
    ]
    return Rendering(
        body=Objects(manifests=tuple(manifest for each in made for manifest in each.manifests)),
        findings=tuple(finding for each in made for finding in each.findings),
    )


def app(name: str, spec: str) -> str:
    """Return an App document; `spec` in flow style."""
    return f"kind: App\nmetadata: {{name: {name}, labels: {{team: blue}}}}\nspec: {{{spec}}}\n"


def model(name: str, spec: str) -> str:
    """Return a Model document; `spec` in flow style."""
    return f"kind: Model\nmetadata: {{name: {name}}}\nspec: {{{spec}}}\n"
