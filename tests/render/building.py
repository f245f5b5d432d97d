"""Releases from the text of specs."""

from bateau.domain.release import Release
from bateau.hydrate import hydrate
from bateau.specs import read

HEAD = "apiVersion: bateau.dev/v1alpha1\n"


def release_of(*documents: str) -> Release:
    """Hydrate documents that have no errors in them."""
    reading = read({"a.yaml": "---\n".join(HEAD + document for document in documents)})
    release, problems = hydrate(reading.specs)
    assert [problem.says for problem in (*reading.problems, *problems) if problem.severity == "error"] == []
    return release


def app(name: str, spec: str) -> str:
    """Return an App document; `spec` in flow style."""
    return f"kind: App\nmetadata: {{name: {name}, labels: {{team: blue}}}}\nspec: {{{spec}}}\n"


def model(name: str, spec: str) -> str:
    """Return a Model document; `spec` in flow style."""
    return f"kind: Model\nmetadata: {{name: {name}}}\nspec: {{{spec}}}\n"
