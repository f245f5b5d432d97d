"""The directories of an instance for each test."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture
def home() -> Iterator[Path]:
    # Short, as socket paths must be; pytest's own folders are too long.
    made = Path(tempfile.mkdtemp(prefix="bt-"))
    for name in ("run", "state"):
        (made / name).mkdir(mode=0o700)
    yield made
    shutil.rmtree(made)
