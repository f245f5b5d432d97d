"""Load the schemas that are shipped with Bateau.

Called by wiring. Hands over to render, which reads no files.
"""

import functools
import json
import lzma
from importlib import resources

from bateau.kit.json_value import JsonObject
from bateau.render import Kubernetes, Schemas, Shipped

VERSIONS = ("1.36", "1.37")


def load_schemas(version: str = VERSIONS[-1]) -> Schemas:
    """Return the strict schemas of a Kubernetes version. Raises KeyError for a version whose schemas are missing."""
    if version not in VERSIONS:
        raise KeyError(f"Bateau has schemas of Kubernetes {', '.join(VERSIONS)}, and none of {version}")
    return _built_in(version)


def api_versions(version: str) -> tuple[str, ...]:
    """Return what a Kubernetes version serves: "v1" and "apps/v1", each also with every kind, "apps/v1/Deployment"."""
    kinds = sorted(_kubernetes(version)["kinds"])
    return (*dict.fromkeys(kind.rpartition("/")[0] for kind in kinds), *kinds)


@functools.cache
def _built_in(version: str) -> Schemas:
    """Return the schemas once: they keep what they compile."""
    return Schemas(Kubernetes(_kubernetes(version), third_party=_gateway_api()))


@functools.cache
def _kubernetes(version: str) -> Shipped:
    packed = resources.files("bateau").joinpath("data", "kubernetes", f"{version}.json.xz").read_bytes()
    return json.loads(lzma.decompress(packed))


def _gateway_api() -> list[JsonObject]:
    """Return the CRDs of the Gateway API's routes: Bateau renders these kinds, and many repositories contain them."""
    packed = resources.files("bateau").joinpath("data", "kubernetes", "gateway-api.json.xz").read_bytes()
    return json.loads(lzma.decompress(packed))["crds"]
