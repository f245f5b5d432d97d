"""Models from registries: Ollama's, and OCI artifacts behind anonymous and named tokens."""

import base64
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from bateau.domain.errors import NotAModel, SourceDenied, SourceError, SourceNotFound, SourceUnreachable
from bateau.sources.models import Models
from sources.gguf_bytes import gguf
from sources.origin import MIB, Origin
from sources.reading import content, ignore

Make = Callable[..., Models]
BIG = gguf(floats=MIB)
DIGEST = f"sha256:{hashlib.sha256(BIG).hexdigest()}"
OLLAMA = "application/vnd.ollama.image.model"


def layer(media_type: str, title: str | None = None) -> dict[str, Any]:
    annotations = {"annotations": {"org.opencontainers.image.title": title}} if title else {}
    return {"mediaType": media_type, "digest": DIGEST, "size": len(BIG), **annotations}


def publish(origin: Origin, name: str, tag: str, *layers: dict[str, Any], **fields: Any) -> str:
    """Serve a manifest and the one blob; return the manifest's digest."""
    body = json.dumps({"schemaVersion": 2, "layers": layers, **fields}).encode()

    async def manifest(request: web.Request) -> web.Response:
        if origin.authorization and request.headers.get("Authorization") != origin.authorization:
            challenge = f'Bearer realm="{origin.url("/token")}",service="reg",scope="repository:{name}:pull"'
            return web.Response(status=401, headers={"WWW-Authenticate": challenge})
        return web.Response(body=body, content_type="application/vnd.oci.image.manifest.v1+json")

    digest = f"sha256:{hashlib.sha256(body).hexdigest()}"
    origin.paths[f"/v2/{name}/manifests/{tag}"] = manifest
    origin.paths[f"/v2/{name}/manifests/{digest}"] = manifest
    origin.paths[f"/v2/{name}/blobs/{DIGEST}"] = BIG
    return digest


async def fetch(source: Models, reference: str) -> bytes:
    file = await source.fetch(reference, ignore)
    assert f"sha256:{file.sha256}" == DIGEST
    return content(file)


async def test_ollama_models_are_fetched_by_their_layer(origin: Origin, models: Make) -> None:
    template = {"mediaType": "application/vnd.ollama.image.template", "digest": f"sha256:{'1' * 64}", "size": 9}
    publish(origin, "library/tiny", "135m", template, layer(OLLAMA))
    publish(origin, "me/tiny", "latest", layer(OLLAMA))
    assert await fetch(models(), f"ollama://{origin.host}/library/tiny:135m") == BIG
    assert await fetch(models(), f"ollama://{origin.host}/me/tiny") == BIG
    # The second reference leads to the same content, which is here.
    assert len([asked for asked in origin.asked if "/blobs/" in asked.path]) == 1
    assert len(models().list()) == 1


async def test_ollama_models_that_are_not_there(origin: Origin, models: Make) -> None:
    publish(origin, "library/tiny", "none", {"mediaType": "application/x", "digest": DIGEST, "size": 1})
    with pytest.raises(SourceNotFound, match="HTTP 404"):
        await fetch(models(), f"ollama://{origin.host}/library/other")
    with pytest.raises(NotAModel, match="no layer that is a model: application/x"):
        await fetch(models(), f"ollama://{origin.host}/library/tiny:none")
    with pytest.raises(SourceNotFound, match="is not a valid Ollama reference"):
        await fetch(models(), "ollama://a/b/c/d/e")


@pytest.mark.parametrize(
    "model",
    [
        layer("application/octet-stream", "m.gguf"),
        layer("application/vnd.docker.ai.gguf.v3"),
    ],
)
async def test_oci_artifacts_are_fetched_by_tag_and_by_digest(
    origin: Origin, models: Make, model: dict[str, Any]
) -> None:
    digest = publish(origin, "team/models/tiny", "v1", layer("text/plain", "LICENSE"), model)
    assert await fetch(models(), f"oci://{origin.host}/team/models/tiny:v1") == BIG
    assert await fetch(models(), f"oci://{origin.host}/team/models/tiny@{digest}") == BIG


async def test_an_anonymous_token_is_asked_for(origin: Origin, models: Make) -> None:
    publish(origin, "tiny", "v1", layer("x", "m.gguf"))
    origin.authorization = "Bearer t0ken"

    async def token(request: web.Request) -> web.Response:
        assert request.query == {"service": "reg", "scope": "repository:tiny:pull"}
        assert "Authorization" not in request.headers
        return web.json_response({"token": "t0ken"})

    origin.paths["/token"] = token
    assert await fetch(models(), f"oci://{origin.host}/tiny:v1") == BIG


async def test_what_docker_login_stored_is_used(origin: Origin, models: Make, tmp_path: Path) -> None:
    publish(origin, "tiny", "v1", layer("x", "m.gguf"))
    origin.authorization = "Bearer t0ken"
    basic = base64.b64encode(b"me:hush").decode()

    async def token(request: web.Request) -> web.Response:
        if request.headers.get("Authorization") != f"Basic {basic}":
            return web.Response(status=401)
        return web.json_response({"access_token": "t0ken"})

    origin.paths["/token"] = token
    with pytest.raises(SourceDenied) as caught:
        await fetch(models(), f"oci://{origin.host}/tiny:v1")
    assert "docker login" in str(caught.value.hint)
    (tmp_path / "home/.docker").mkdir(parents=True)
    config = {"auths": {origin.host: {"auth": basic}}}
    (tmp_path / "home/.docker/config.json").write_text(json.dumps(config))
    assert await fetch(models(), f"oci://{origin.host}/tiny:v1") == BIG


async def test_an_index_of_one_manifest_is_followed(origin: Origin, models: Make) -> None:
    digest = publish(origin, "tiny", "inner", layer("x", "m.gguf"))
    publish(origin, "tiny", "v1", manifests=[{"digest": digest}])
    assert await fetch(models(), f"oci://{origin.host}/tiny:v1") == BIG


async def test_artifacts_that_are_not_one_model(origin: Origin, models: Make) -> None:
    publish(origin, "tiny", "two", layer("x", "a.gguf"), layer("x", "b.gguf"))
    with pytest.raises(SourceError, match=r"2 models: a\.gguf, b\.gguf"):
        await fetch(models(), f"oci://{origin.host}/tiny:two")
    publish(origin, "tiny", "image", layer("application/vnd.oci.image.layer.v1.tar+gzip"))
    with pytest.raises(NotAModel, match="no layer that is a GGUF"):
        await fetch(models(), f"oci://{origin.host}/tiny:image")


async def test_a_manifest_of_another_digest_is_refused(origin: Origin, models: Make) -> None:
    publish(origin, "tiny", "v1", layer("x", "m.gguf"))
    wrong = f"sha256:{'2' * 64}"
    origin.paths[f"/v2/tiny/manifests/{wrong}"] = origin.paths["/v2/tiny/manifests/v1"]
    with pytest.raises(SourceError, match="a different digest"):
        await fetch(models(), f"oci://{origin.host}/tiny@{wrong}")


@pytest.mark.parametrize(
    "body",
    [
        [],
        {"layers": ["x"]},
        {"layers": {"a": 1}},
        {"layers": "x"},
        {"layers": [{"size": "big", "mediaType": OLLAMA, "digest": DIGEST}]},
        {"layers": [{"size": -1, "mediaType": OLLAMA, "digest": DIGEST}]},
        {"layers": [{"size": 1, "mediaType": OLLAMA, "digest": 7}]},
        {"layers": [{"size": 1, "mediaType": None, "digest": DIGEST, "annotations": ["x"]}]},
        {"manifests": ["x"]},
        {"manifests": [{"digest": "../x"}]},
        {"manifests": 1},
        {},
    ],
)
async def test_manifests_that_are_none_are_refused(origin: Origin, models: Make, body: object) -> None:
    async def manifest(_: web.Request) -> web.Response:
        return web.json_response(body)

    origin.paths["/v2/a/tiny/manifests/v1"] = manifest
    for scheme in ("ollama", "oci"):
        with pytest.raises(SourceError) as caught:
            await models().fetch(f"{scheme}://{origin.host}/a/tiny:v1", ignore)
        assert caught.value.message.startswith((f"{scheme}://", origin.host))


@pytest.mark.parametrize("challenge", ['Bearer realm="http://[::1"', 'Bearer realm="http://auth.invalid/"', "Digest"])
async def test_challenges_that_cannot_be_answered_are_refused(origin: Origin, models: Make, challenge: str) -> None:
    async def manifest(_: web.Request) -> web.Response:
        return web.Response(status=401, headers={"WWW-Authenticate": challenge})

    origin.paths["/v2/tiny/manifests/v1"] = manifest
    with pytest.raises(SourceError):
        await models().fetch(f"oci://{origin.host}/tiny:v1", ignore)
    assert len(origin.asked) == 1


@pytest.mark.parametrize("renews", [True, False])
async def test_a_token_that_expires_in_the_middle_is_renewed_once(
    origin: Origin, models: Make, *, renews: bool
) -> None:
    publish(origin, "tiny", "v1", layer("x", "m.gguf"))
    tokens: list[str] = []
    blobs: list[str] = []

    async def token(_: web.Request) -> web.Response:
        tokens.append(f"t{len(tokens)}")
        origin.authorization = f"Bearer {tokens[-1]}"
        return web.json_response({"token": tokens[-1]})

    async def blob(request: web.Request) -> web.StreamResponse:
        blobs.append(request.headers.get("Range", ""))
        if len(blobs) == 2 or (blobs[1:] and not renews):
            origin.authorization = "Bearer another"
        return await origin.send(request, BIG)

    origin.authorization = "Bearer none"
    origin.paths["/token"] = token
    origin.paths[f"/v2/tiny/blobs/{DIGEST}"] = blob
    origin.cuts = [2 * MIB]
    if renews:
        assert await fetch(models(), f"oci://{origin.host}/tiny:v1") == BIG
        assert all(blobs[1:]), "the download continued with the bytes that had arrived"
    else:
        with pytest.raises(SourceUnreachable, match="access expired after"):
            await fetch(models(), f"oci://{origin.host}/tiny:v1")
    assert (len(tokens), len(blobs)) == (2, 3)
