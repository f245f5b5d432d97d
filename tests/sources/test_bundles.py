"""Bundles in registries: a real one, and one in memory that wants tokens, or sends what it should not."""

import base64
import json
from dataclasses import replace
from pathlib import Path

import pytest
from aiohttp import web

from bateau.domain.errors import ChecksumMismatch, SourceDenied, SourceError, SourceNotFound
from bateau.sources.bundles import MEDIA_TYPE, digest_of, fetch, push
from bateau.sources.oci import parse
from bateau.sources.settings import Settings
from cluster.registries import Registry
from sources.conftest import QUICK
from sources.origin import Answer, Origin
from sources.stored_bundles import Stored, sha256

DATA = b"a bundle" * 10_000
BIG = DATA * 50


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(base=tmp_path, environ={"HOME": str(tmp_path / "home")})


async def test_a_bundle_comes_back_from_a_real_registry_with_the_same_digest(
    registry: Registry, settings: Settings
) -> None:
    with pytest.raises(SourceNotFound, match=r"/none:1: not found \(HTTP 404\)"):
        await fetch(parse(f"oci://{registry.host}/none:1"), settings)
    asked = parse(registry.reference("prod"))
    pushed = await push(asked, BIG, title="prod.tar.zst", settings=settings)
    assert await fetch(asked, settings) == BIG
    assert await fetch(pushed, settings) == await fetch(replace(pushed, tag=None), settings) == BIG
    assert await digest_of(asked, settings) == pushed.digest
    manifest = json.loads(registry.blob(str(pushed.digest)).read_bytes())
    assert manifest["artifactType"] == "application/vnd.bateau.bundle"
    assert manifest["config"]["mediaType"] == "application/vnd.oci.empty.v1+json"
    (layer,) = manifest["layers"]
    assert (layer["mediaType"], layer["digest"], layer["size"]) == (MEDIA_TYPE, sha256(BIG), len(BIG))
    assert layer["annotations"] == {"org.opencontainers.image.title": "prod.tar.zst"}
    again = await push(parse(f"oci://{registry.host}/elsewhere:2"), BIG, title="prod.tar.zst", settings=settings)
    assert again.digest == pushed.digest


async def test_what_the_registry_has_is_not_sent_again(origin: Origin, settings: Settings) -> None:
    stored = Stored(origin)
    first = await push(stored.reference(), DATA, title="a", settings=settings)
    assert stored.asked("POST", "blobs/uploads/") == 2
    assert await push(stored.reference("other"), DATA, title="a", settings=settings) == replace(first, tag="other")
    assert stored.asked("POST", "blobs/uploads/") == 2


async def test_a_push_asks_for_its_rights_with_the_login_of_docker(
    origin: Origin, settings: Settings, tmp_path: Path
) -> None:
    stored = Stored(origin)
    origin.authorization = "Bearer t0ken"
    basic = base64.b64encode(b"me:hush").decode()

    async def token(request: web.Request) -> web.Response:
        assert request.query["scope"] == "repository:team/shop:pull,push"
        if request.headers.get("Authorization") != f"Basic {basic}":
            return web.Response(status=401)
        return web.json_response({"token": "t0ken"})

    origin.paths["/token"] = token
    with pytest.raises(SourceDenied) as caught:
        await push(stored.reference(), DATA, title="a", settings=settings)
    assert f"docker login {origin.host}" in str(caught.value.hint)
    config = tmp_path / "home/.docker/config.json"
    config.parent.mkdir(parents=True)
    config.write_text(json.dumps({"auths": {origin.host: {"auth": basic}}}))
    await push(stored.reference(), DATA, title="a", settings=settings)
    origin.authorization = "Bearer another"
    with pytest.raises(SourceDenied) as caught:
        await push(stored.reference(), DATA, title="a", settings=settings)
    assert not any(secret in str(vars(caught.value)) for secret in (basic, "hush", "t0ken"))


async def test_no_credentials_go_to_another_server_that_takes_the_upload(
    origin: Origin, settings: Settings, tmp_path: Path
) -> None:
    other = Origin()
    await other.start()
    try:
        stored = Stored(origin, uploads=other.url(""))
        other.paths["/upload/1"] = Stored(other).put
        origin.authorization = "Basic aTpt"
        config = tmp_path / "home/.docker/config.json"
        config.parent.mkdir(parents=True)
        config.write_text(json.dumps({"auths": {origin.host: {"auth": "aTpt"}}}))
        origin.paths["/v2/team/shop/blobs/uploads/"] = _basic(stored)
        origin.paths["/v2/team/shop/manifests/prod"] = _basic(stored)
        await push(stored.reference(), DATA, title="a", settings=settings)
        assert len(other.asked) == 2
        assert not any("Authorization" in each.headers for each in other.asked)
    finally:
        await other.stop()


def _basic(stored: Stored) -> Answer:
    """Return a handler that wants basic credentials, and then does what the registry does."""
    inner = {path: handler for path, handler in stored.origin.paths.items() if callable(handler)}

    async def handler(request: web.Request) -> web.StreamResponse:
        if "Authorization" not in request.headers:
            return web.Response(status=401, headers={"WWW-Authenticate": 'Basic realm="r"'})
        return await inner[request.path](request)

    return handler


async def test_a_bundle_with_another_content_than_promised_is_refused(origin: Origin, settings: Settings) -> None:
    stored = Stored(origin)
    pushed = await push(stored.reference(), DATA, title="a", settings=settings)
    stored.blobs[sha256(DATA)] = bytes(len(DATA))
    with pytest.raises(ChecksumMismatch, match=f"instead of the promised {sha256(DATA)}"):
        await fetch(stored.reference(), settings)
    stored.blobs[sha256(DATA)] = DATA + b"more"
    with pytest.raises(SourceError, match="larger than"):
        await fetch(stored.reference(), settings)
    stored.manifests[str(pushed.digest)] += b" "
    with pytest.raises(SourceError, match="a manifest with a different digest"):
        await fetch(pushed, settings)


@pytest.mark.parametrize(
    ("media_type", "digest", "size", "says"),
    [
        ("application/vnd.bateau.bundle.v3.tar+zstd", sha256(b""), 1, "has the bundle format v3"),
        ("application/vnd.oci.image.layer.v1.tar+gzip", sha256(b""), 1, "is not a bundle; its layers: application/vnd"),
        (MEDIA_TYPE, "sha256:../..", 1, "not by a sha256"),
        (MEDIA_TYPE, sha256(b""), 2**40, "is larger than"),
    ],
)
async def test_other_artifacts_are_refused_before_they_are_fetched(
    origin: Origin, settings: Settings, media_type: str, digest: str, size: int, says: str
) -> None:
    stored = Stored(origin)
    tree = {"layers": [{"mediaType": media_type, "digest": digest, "size": size}]}
    stored.manifests["prod"] = json.dumps(tree).encode()
    with pytest.raises(SourceError, match=says):
        await fetch(stored.reference(), settings)
    assert stored.asked("GET", "blobs/") == 0


async def test_a_registry_that_cannot_answer_now_is_asked_again(origin: Origin, settings: Settings) -> None:
    stored = Stored(origin, down=True)
    with pytest.raises(SourceError, match="HTTP 503"):
        await push(stored.reference(), DATA, title="a", settings=settings, patience=QUICK)
    assert stored.asked("PUT", "manifests/prod") == QUICK.tries
    assert stored.asked("POST", "blobs/uploads/") == 2


async def test_no_request_is_made_offline(origin: Origin, settings: Settings) -> None:
    offline = replace(settings, environ={"BATEAU_OFFLINE": "1"})
    with pytest.raises(SourceError, match="BATEAU_OFFLINE is set"):
        await fetch(Stored(origin).reference(), offline)
    assert origin.asked == []
