"""Push a bundle to a registry as an OCI artifact, and fetch it.

Called by wiring.bundles and wiring.followed_bundle.
Sources: the OCI image specification 1.1 (artifacts without a configuration) and the OCI distribution specification 1.1.

Invariant: the same bytes have the same digest in every registry: no times, and no name of the registry. A bundle whose
content differs from its digest is never returned. Held by tests/sources/test_bundles.py.
"""

import hashlib
import json
import re
from dataclasses import replace
from typing import Final

from bateau.domain.errors import ChecksumMismatch, SourceError, SourceNotFound, SourceUnreachable
from bateau.kit.json_value import JsonObject
from bateau.kit.suggest import listed
from bateau.sources.oci import Reference
from bateau.sources.patience import Patience, Tries
from bateau.sources.registry import MANIFEST, Layer, RegistryClient
from bateau.sources.session import Session
from bateau.sources.settings import Settings

ARTIFACT_TYPE: Final = "application/vnd.bateau.bundle"
MEDIA_TYPE: Final = "application/vnd.bateau.bundle.v2.tar+zstd"
BYTES_MAX: Final = 2**28
_EMPTY: Final = b"{}"
_EMPTY_TYPE: Final = "application/vnd.oci.empty.v1+json"
_BUNDLE: Final = re.compile(r"application/vnd\.bateau\.bundle\.(?P<version>v\d+)\.tar\+zstd")
_DIGEST: Final = re.compile(r"sha256:[0-9a-f]{64}")
_BYTES: Final = "application/octet-stream"


async def push(
    reference: Reference, data: bytes, *, title: str, settings: Settings, patience: Patience | None = None
) -> Reference:
    """Upload a bundle under a tag, and return the reference with its digest. `title` is a file name.

    Blobs that the registry has are not sent again. Raises the SourceError family.
    """
    _refuse_offline(reference, settings)
    tries = Tries(patience or Patience())
    while True:
        try:
            return await _pushed(reference, data, title=title, settings=settings)
        except SourceUnreachable as error:
            await tries.wait(error)


async def digest_of(reference: Reference, settings: Settings) -> str:
    """Return the digest that a reference has now. Raises the SourceError family."""
    if reference.digest:
        return reference.digest
    _refuse_offline(reference, settings)
    async with Session(settings) as http:
        client = RegistryClient(http, reference.repository, says=str(reference), settings=settings)
        return await client.digest_of(reference.tag or "latest")


async def fetch(reference: Reference, settings: Settings) -> bytes:
    """Return a bundle. Raises the SourceError family."""
    _refuse_offline(reference, settings)
    async with Session(settings) as http:
        client = RegistryClient(http, reference.repository, says=str(reference), settings=settings)
        found = await client.layers(reference.digest or reference.tag or "latest")
        layer = _bundle_among(found, says=str(reference))
        data = (await client.get(f"blobs/{layer.digest}", bytes_max=layer.size_bytes)).body
    got = _sha256(data)
    if got != layer.digest:
        raise ChecksumMismatch(
            f"{reference}: the bundle has {got} instead of the promised {layer.digest}",
            hint="try again; if it happens twice, the content of the registry is damaged: push the bundle again",
        )
    return data


async def _pushed(reference: Reference, data: bytes, *, title: str, settings: Settings) -> Reference:
    manifest = _manifest(data, title)
    async with Session(settings) as http:
        client = RegistryClient(http, reference.repository, says=str(reference), settings=settings, actions="pull,push")
        for blob in (_EMPTY, data):
            await _upload(client, blob, says=str(reference))
        await client.write("PUT", f"manifests/{reference.tag}", data=manifest, media_type=MANIFEST)
    return replace(reference, digest=_sha256(manifest))


async def _upload(client: RegistryClient, data: bytes, *, says: str) -> None:
    digest = _sha256(data)
    try:
        await client.get(f"blobs/{digest}", bytes_max=0, head=True)
    except SourceNotFound:
        begun = await client.write("POST", "blobs/uploads/", media_type=_BYTES)
        location = begun.headers.get("Location")
        if not location:
            raise SourceError(f"{says}: the registry does not say where to upload to") from None
        to = f"{location}{'&' if '?' in location else '?'}digest={digest.replace(':', '%3A')}"
        await client.write("PUT", to, data=data, media_type=_BYTES)


def _manifest(data: bytes, title: str) -> bytes:
    tree: JsonObject = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "artifactType": ARTIFACT_TYPE,
        "config": {"mediaType": _EMPTY_TYPE, "digest": _sha256(_EMPTY), "size": len(_EMPTY), "data": "e30="},
        "layers": [
            {
                "mediaType": MEDIA_TYPE,
                "digest": _sha256(data),
                "size": len(data),
                "annotations": {"org.opencontainers.image.title": title},
            }
        ],
    }
    return json.dumps(tree, separators=(",", ":")).encode()


def _bundle_among(layers: tuple[Layer, ...], *, says: str) -> Layer:
    """Return the layer that is a bundle of a format that this version reads. Raises SourceError."""
    found = {layer: match["version"] for layer in layers if (match := _BUNDLE.fullmatch(layer.media_type))}
    if len(found) != 1:
        hint = "push one with `bateau render --env NAME --bundle oci://HOST/REPOSITORY:TAG`"
        raise SourceError(f"{says} is not a bundle; its layers: {listed(each.says for each in layers)}", hint=hint)
    ((layer, version),) = found.items()
    if layer.media_type != MEDIA_TYPE:
        raise SourceError(f"{says} has the bundle format {version}", hint="a newer Bateau pushed it; use that version")
    if not _DIGEST.fullmatch(layer.digest):
        raise SourceError(f"{says} identifies its content by `{layer.digest}`, not by a sha256")
    if layer.size_bytes > BYTES_MAX:
        raise SourceError(f"{says} is larger than {BYTES_MAX} bytes")
    return layer


def _sha256(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def _refuse_offline(reference: Reference, settings: Settings) -> None:
    if settings.flag("BATEAU_OFFLINE"):
        raise SourceError(f"{reference} is not on this machine, and BATEAU_OFFLINE is set")
