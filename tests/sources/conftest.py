"""Servers on loopback, a certificate for them, and caches in temporary directories."""

import subprocess
from collections.abc import AsyncGenerator, Callable
from pathlib import Path
from typing import Any

import pytest

from bateau.sources.download import Patience
from bateau.sources.models import Models
from sources.origin import Origin

QUICK = Patience(tries=3, delay_s_first=0.01, delay_s_ceiling=0.02, connect_s=5, silence_s=5)


@pytest.fixture
async def origin() -> AsyncGenerator[Origin]:
    server = Origin()
    await server.start()
    yield server
    await server.stop()


@pytest.fixture
def authority(tmp_path: Path) -> Path:
    """A certificate for 127.0.0.1 that only itself vouches for, with its key beside it."""
    path = tmp_path / "authority.pem"
    subprocess.run(
        [
            "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
            "-nodes", "-days", "2",
            "-subj", "/CN=a company", "-addext", "subjectAltName=IP:127.0.0.1",
            "-keyout", str(path.with_suffix(".key")), "-out", str(path),
        ],
        check=True, capture_output=True,
    )  # fmt: skip
    return path


@pytest.fixture
def models(tmp_path: Path) -> Callable[..., Models]:
    """Make Models over one cache; variables of the environment and options by keyword."""

    def make(*, patience: Patience = QUICK, environ: dict[str, str] | None = None, **options: Any) -> Models:
        variables = {"HOME": str(tmp_path / "home"), **(environ or {})}
        return Models(cache=tmp_path / "cache", base=tmp_path, environ=variables, patience=patience, **options)

    return make
