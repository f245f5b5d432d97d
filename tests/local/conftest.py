"""Fixtures of the real thing."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from local.stack import CHAT, Stack


@pytest.fixture(scope="session")
def cache() -> Path:
    """The user's own cache: the model is fetched once on a machine, by the first test that needs it."""
    return Path.home() / ".cache"


@pytest.fixture
def stack(cache: Path) -> Iterator[Stack]:
    """An instance with one chat model, not up yet."""
    made = Stack(cache)
    made.write(CHAT)
    yield made
    made.destroy()


@pytest.fixture(scope="module")
def running(cache: Path) -> Iterator[Stack]:
    """An instance that is up with one chat model, for tests that only ask it."""
    made = Stack(cache)
    made.write(CHAT)
    done = made.up()
    assert done.code == 0, done.err
    yield made
    made.destroy()
