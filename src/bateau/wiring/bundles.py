"""Read a bundle from a file or a registry, and push bundles to a registry.

Called by cli.controller, cli.explain, cli.render and wiring.delivery.
"""

import asyncio
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from bateau.control.bundle import read_bundle
from bateau.domain.errors import ControlError, SourceNotFound
from bateau.domain.manifest import Manifest
from bateau.sources.bundles import fetch, push
from bateau.sources.oci import Reference, parse
from bateau.sources.settings import Settings

_WITHOUT_TAG: Final = "write oci://HOST/REPOSITORY, and the name of each environment becomes its tag"


def reference_of(text: str, environment: str | None) -> Reference:
    """Return the reference of a bundle. Without a tag and a digest, the name of the environment is the tag.

    Raises SourceNotFound if it is none, or if both tag and environment are missing.
    """
    found = parse(text)
    if found.tag or found.digest:
        return found
    if environment is None:
        raise SourceNotFound(f"{text} has no tag", hint="add :TAG, or name the environment, whose name is the tag then")
    return replace(found, tag=environment)


def references_of(text: str, environments: Sequence[str | None]) -> tuple[str, ...]:
    """Return where to push the bundle of each environment. Raises SourceNotFound if that is not clear."""
    found = parse(text)
    if found.digest:
        raise SourceNotFound(
            f"{text} has a digest, which follows from the content", hint="write oci://HOST/REPOSITORY:TAG"
        )
    if found.tag and len(environments) > 1:
        raise SourceNotFound(f"{text} is one tag for {len(environments)} environments", hint=_WITHOUT_TAG)
    return tuple(str(reference_of(text, each)) for each in environments)


def pushed(reference: str, data: bytes, *, environment: str | None) -> str:
    """Push a bundle, and return its reference with its digest. Raises the SourceError family."""
    title = f"{environment or 'default'}.tar.zst"
    return str(asyncio.run(push(parse(reference), data, title=title, settings=_settings())))


def bundle_at(place: Path | str, *, environment: str | None = None) -> tuple[Manifest, ...]:
    """Return the manifests of a bundle, for `environment` if it is given.

    `place` is a file, or the reference oci://... of a bundle in a registry. Raises ControlError if it is not a bundle,
    and the SourceError family.
    """
    if isinstance(place, str):
        reference = reference_of(place, environment)
        data = asyncio.run(fetch(reference, _settings()))
        return read_bundle(data, str(reference), environment=environment)
    try:
        return read_bundle(place.read_bytes(), str(place), environment=environment)
    except OSError as error:
        raise ControlError(f"cannot read {place}: {error.strerror}") from error


def _settings() -> Settings:
    return Settings(base=Path.cwd(), environ=os.environ)
