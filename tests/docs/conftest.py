"""The reference as the build generates it."""

import sys
from pathlib import Path

import pytest
from docs.pages import ROOT


@pytest.fixture(scope="session")
def generated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the generated tables."""
    folder = tmp_path_factory.mktemp("generated")
    sys.path.insert(0, str(ROOT / "docs"))
    try:
        from generate import generate
    finally:
        sys.path.pop(0)
    generate(folder)
    return folder
