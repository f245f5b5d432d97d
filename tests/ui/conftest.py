"""A dashboard for each test, and a browser for each module."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.sync_api import Browser

from bateau.ui.page import View
from ui.chromium import chromium
from ui.served import Served, a_view, served


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    # Not for the session: while Playwright runs, no test of its process can have an event loop.
    with chromium() as made:
        yield made


@pytest.fixture(scope="session")
def view() -> View:
    """A view, for pages as functions of it."""
    return asyncio.run(a_view())


@pytest_asyncio.fixture
async def dashboard(folder: Path) -> AsyncIterator[Served]:
    async with served(folder / "c.sock") as made:
        yield made
