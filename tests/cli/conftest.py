"""The directories of an instance for each test."""

from pathlib import Path

import pytest


@pytest.fixture
def home(folder: Path) -> Path:
    for name in ("run", "state"):
        (folder / name).mkdir(mode=0o700)
    return folder
