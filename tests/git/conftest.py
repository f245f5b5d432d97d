"""Repositories in temporary directories."""

import os
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from bateau.sources.git import Following, GitTexts, parse
from git.workshop import Workshop


@pytest.fixture
def workshop(tmp_path: Path) -> Workshop:
    return Workshop(tmp_path / "acme")


@pytest.fixture
def environ(tmp_path: Path) -> Mapping[str, str]:
    """Nothing of the one who runs the tests: no settings, no keys."""
    return {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "GIT_CONFIG_NOSYSTEM": "1"}


@pytest.fixture
def follow(tmp_path: Path, environ: Mapping[str, str]) -> Callable[..., GitTexts]:
    def make(reference: str, following: Following | None = None) -> GitTexts:
        return GitTexts(parse(reference), cache=tmp_path / "cache", environ=environ, following=following)

    return make
