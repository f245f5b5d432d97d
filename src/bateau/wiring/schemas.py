"""Load the schemas that are shipped with Bateau.

Called by the faces that check manifests. Hands over to render, which reads no files.
"""

import functools
import json
import lzma
from collections.abc import Iterable, Mapping
from importlib import resources
from typing import Any

from bateau.render import Schemas

VERSIONS = ("1.36", "1.37")


def load_schemas(version: str = VERSIONS[-1], crds: Iterable[Mapping[str, Any]] = ()) -> Schemas:
    """Return the strict schemas of a Kubernetes version, and those of CRDs. Raises KeyError for a version we lack."""
    if version not in VERSIONS:
        raise KeyError(f"there are schemas of Kubernetes {', '.join(VERSIONS)}, and none of {version}")
    crds = tuple(crds)
    return Schemas(_kubernetes(version), crds) if crds else _built_in(version)


def api_versions(version: str) -> tuple[str, ...]:
    """Return what a Kubernetes version serves: "v1" and "apps/v1", each also with every kind, "apps/v1/Deployment"."""
    kinds = sorted(_kubernetes(version)["kinds"])
    return (*dict.fromkeys(kind.rpartition("/")[0] for kind in kinds), *kinds)


@functools.cache
def _built_in(version: str) -> Schemas:
    """Return the schemas of Kubernetes alone, once: what they compile is kept in them."""
    return Schemas(_kubernetes(version))


@functools.cache
def _kubernetes(version: str) -> Mapping[str, Any]:
    packed = resources.files("bateau").joinpath("data", "kubernetes", f"{version}.json.xz").read_bytes()
    return json.loads(lzma.decompress(packed))
