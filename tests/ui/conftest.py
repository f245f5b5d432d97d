"""A dashboard for each test."""

import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from ui.served import Served, served


@pytest.fixture
def folder() -> Iterator[Path]:
    # Short, as socket paths must be; pytest's own folders are too long.
    made = Path(tempfile.mkdtemp(prefix="bt-"))
    yield made
    shutil.rmtree(made)


@pytest_asyncio.fixture
async def dashboard(folder: Path) -> AsyncIterator[Served]:
    async with served(folder / "c.sock") as made:
        yield made
