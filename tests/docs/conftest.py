"""The reference as the build generates it."""

import importlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import cast

import pytest

from docs.pages import ROOT


@pytest.fixture(scope="session")
def generate() -> Callable[[Path], None]:
    """The generator, found as Sphinx's configuration finds it."""
    sys.path.insert(0, str(ROOT / "docs"))
    try:
        return cast("Callable[[Path], None]", importlib.import_module("generate").generate)
    finally:
        sys.path.pop(0)


@pytest.fixture(scope="session")
def generated(generate: Callable[[Path], None], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the generated tables."""
    folder = tmp_path_factory.mktemp("generated")
    generate(folder)
    return folder
