"""A namespace on a real API server for each test."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio

from runtimes.kubernetes.rig import Bench, bench


@pytest_asyncio.fixture
async def cluster_bench(control_plane: Path) -> AsyncIterator[Bench]:
    async with bench(control_plane) as made:
        yield made
