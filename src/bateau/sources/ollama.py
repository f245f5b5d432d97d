"""Resolve `ollama://NAME[:TAG]` and `ollama://HOST/NAMESPACE/NAME[:TAG]`.

Called by sources.models. Source: Ollama's registry, which uses the registry protocol with its own media types.

Invariant: only the model's weights are fetched. llama.cpp finds the template and the parameters in the GGUF. Held by
tests/sources/test_registries.py.
"""

import re

from bateau.domain.errors import NotAModel, SourceError, SourceNotFound
from bateau.kit.suggest import listed
from bateau.sources.artifact import Artifact
from bateau.sources.http import shown
from bateau.sources.registry import Repository, layers
from bateau.sources.settings import Settings

_HOST = "registry.ollama.ai"
_NAMESPACE = "library"
_MODEL = "application/vnd.ollama.image.model"
_REFERENCE = re.compile(
    r"ollama://(?:(?P<host>[^/\s@]+)/(?=[^/]+/))?(?:(?P<namespace>[\w.-]+)/)?(?P<name>[\w.-]+)(?::(?P<tag>[\w.-]+))?"
)


async def resolve(reference: str, settings: Settings) -> Artifact:
    """Return the layer that is the model. Raises the SourceError family."""
    match = _REFERENCE.fullmatch(reference)
    if match is None:
        raise SourceNotFound(
            f"{shown(reference)} is not a valid Ollama reference",
            hint="write ollama://NAME:TAG or ollama://HOST/NAMESPACE/NAME:TAG",
        )
    repository = Repository(host=match["host"] or _HOST, name=f"{match['namespace'] or _NAMESPACE}/{match['name']}")
    found, headers = await layers(repository, match["tag"] or "latest", says=reference, settings=settings)
    models = [layer for layer in found if layer.media_type == _MODEL]
    if not models:
        raise NotAModel(f"{reference} has no layer that is a model: {listed(layer.says for layer in found)}")
    if len(models) > 1:
        raise SourceError(f"{reference} is split over {len(models)} layers, which is not supported yet")
    return repository.artifact(models[0], headers)
