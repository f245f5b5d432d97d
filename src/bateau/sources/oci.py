"""Resolve `oci://HOST/REPOSITORY[:TAG][@sha256:DIGEST]`: a model as an artifact in a registry.

Called by sources.bundles, sources.models and wiring. Source: the OCI image specification (artifacts,
`org.opencontainers.image.title`); ORAS and Docker write models this way.

Invariant: a layer is chosen by its title or media type alone; its header decides later if it is a model. Held by
tests/sources/test_registries.py.
"""

import re
from dataclasses import dataclass

from bateau.domain.errors import NotAModel, SourceError, SourceNotFound
from bateau.kit.suggest import listed
from bateau.sources.artifact import Artifact
from bateau.sources.http import shown
from bateau.sources.registry import Layer, Repository, layers
from bateau.sources.settings import Settings

_REFERENCE = re.compile(
    r"oci://(?P<host>[^/\s@]+)/(?P<name>[a-z0-9._/-]+)(?::(?P<tag>[\w.-]+))?(?:@(?P<digest>sha256:[0-9a-f]{64}))?"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """An artifact in a registry. Of tag and digest, the digest counts."""

    repository: Repository
    tag: str | None
    digest: str | None

    def __str__(self) -> str:
        where = f"oci://{self.repository.host}/{self.repository.name}"
        return where + (f":{self.tag}" if self.tag else "") + (f"@{self.digest}" if self.digest else "")


def parse(reference: str) -> Reference:
    """Return the parts of a reference. Raises SourceNotFound."""
    match = _REFERENCE.fullmatch(reference)
    if match is None:
        raise SourceNotFound(
            f"{shown(reference)} is not a valid OCI reference",
            hint="write oci://HOST/REPOSITORY:TAG or oci://HOST/REPOSITORY@sha256:...",
        )
    repository = Repository(host=match["host"], name=match["name"])
    return Reference(repository=repository, tag=match["tag"], digest=match["digest"])


async def resolve(reference: str, settings: Settings) -> Artifact:
    """Return the layer that is a GGUF. Raises the SourceError family."""
    asked = parse(reference)
    repository = asked.repository
    found, headers = await layers(repository, asked.digest or asked.tag or "latest", says=reference, settings=settings)
    models = [layer for layer in found if _is_model(layer)]
    if not models:
        raise NotAModel(f"{reference} has no layer that is a GGUF: {listed(layer.says for layer in found)}")
    if len(models) > 1:
        raise SourceError(f"{reference} has {len(models)} models: {listed(layer.says for layer in models)}")
    return repository.artifact(models[0], headers)


def _is_model(layer: Layer) -> bool:
    return (layer.title or "").lower().endswith(".gguf") or "gguf" in layer.media_type.lower()
