"""The keys of an OIDC issuer: which documents are believed, and which keys are taken from them."""

import json
import ssl
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from bateau.domain.errors import BateauError, SourceError, SourceUnreachable
from bateau.sources.issuer import fetched_keys
from sources.origin import Origin

WELL_KNOWN = "/.well-known/openid-configuration"
EC = {
    "kty": "EC",
    "crv": "P-256",
    # RFC 7517, appendix A.1.
    "x": "MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4",
    "y": "4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM",
}


def publish(origin: Origin, *keys: dict[str, Any], path: str = "", **about: Any) -> str:
    """Serve the documents of an issuer, and return its URL."""
    url = origin.url(path)
    document = {"issuer": url, "jwks_uri": origin.url("/jwks"), **about}
    origin.paths[path.rstrip("/") + WELL_KNOWN] = json.dumps(document).encode()
    origin.paths["/jwks"] = json.dumps({"keys": keys}).encode()
    return url


async def fetched(url: str, authority: Path | None = None) -> list[dict[str, str]]:
    found = await fetched_keys(url, authority=str(authority) if authority else None, environ={})
    return json.loads(found)["keys"]


async def test_keys_are_taken_from_the_document_that_the_issuer_names(origin: Origin) -> None:
    assert await fetched(publish(origin, {"kty": "oct", "k": "c2VjcmV0"}, EC)) == [EC]
    with pytest.raises(SourceError, match="has no key that can verify a token"):
        await fetched(publish(origin, {"kty": "oct", "k": "c2VjcmV0"}))


@pytest.mark.parametrize("path", ["", "/", "/realms/one", "/realms/one/"])
async def test_the_url_of_an_issuer_may_have_a_path(origin: Origin, path: str) -> None:
    assert await fetched(publish(origin, EC, path=path)) == [EC]


async def test_a_document_that_is_not_of_this_issuer_is_not_believed(origin: Origin) -> None:
    with pytest.raises(SourceError, match=r"is of the issuer https://other\.example\.org, not of") as raised:
        await fetched(publish(origin, EC, issuer="https://other.example.org"))
    assert raised.value.hint == "tokens are compared by this text: use https://other.example.org"
    wrong: list[dict[str, Any]] = [{"issuer": None}, {"issuer": 1}]
    wrong += [{"jwks_uri": uri} for uri in (None, "//x", "/jwks", "javascript:1", "http://127.0.0.1:99999/")]
    for about in wrong:
        with pytest.raises(SourceError):
            await fetched(publish(origin, EC, **about))


async def test_plain_http_is_for_this_machine_only(origin: Origin) -> None:
    with pytest.raises(SourceError, match="plain http"):
        await fetched("http://login.example.org")
    with pytest.raises(SourceError, match="plain http"):
        await fetched(publish(origin, EC, jwks_uri="http://login.example.org/jwks"))
    url = publish(origin, EC)

    async def away(_: web.Request) -> web.StreamResponse:
        raise web.HTTPFound("http://login.example.org/jwks")

    origin.paths["/jwks"] = away
    with pytest.raises(SourceError, match="plain http"):
        await fetched(url)


async def test_odd_answers_are_errors_of_one_line(origin: Origin) -> None:
    url = publish(origin, EC)
    for body in (b"", b"{", b"[" * 10**5, b"[]", b"null", b"x" * (1 << 21), b'{"keys": 1}', b'{"keys": [1, null]}'):
        origin.paths["/jwks"] = body
        with pytest.raises(SourceError) as raised:
            await fetched(url)
        assert "\n" not in raised.value.message
    del origin.paths["/jwks"]
    with pytest.raises(SourceError, match="not found"):
        await fetched(url)
    await origin.stop()
    with pytest.raises(SourceUnreachable):
        await fetched(url)
    await origin.start()


async def test_a_server_is_trusted_by_the_authority_that_is_given(authority: Path) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority, authority.with_suffix(".key"))
    server = Origin()
    await server.start(tls=context)
    try:
        url = publish(server, EC)
        assert await fetched(url, authority) == [EC]
        with pytest.raises(SourceError, match=r"certificate of .* is not trusted"):
            await fetched(url)
    finally:
        await server.stop()
    for wrong in (authority.with_name("none.pem"), authority.with_suffix(".key")):
        with pytest.raises(BateauError, match="has no certificates to trust"):
            await fetched(url, wrong)
