"""Options of the test suite, and the fixtures that tests of every folder may use."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from cluster.fixtures import FIXTURES, TEST_S, cluster, control_plane
from cluster.registries import registry, running_registry

__all__ = ["cluster", "control_plane", "registry", "running_registry"]

# How long an example takes says nothing: the machine may be busy.
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder whose path is short, as those of sockets must be: pytest's own are too long."""
    made = Path(tempfile.mkdtemp(prefix="bt-"))
    yield made
    shutil.rmtree(made)


@pytest.fixture
def socket_path(folder: Path) -> str:
    """A path for a socket that does not exist yet."""
    return str(folder / "s.sock")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--accept", action="store_true", help="rewrite expected outputs with what came out")
    parser.addoption("--screenshots", metavar="DIRECTORY", help="write the pictures of the dashboard's guide there")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give tests that need a cluster more time, and say which tests one worker runs, one after the other.

    All tests of a cluster share one; those of whole instances share the machine's cores. Of the others, each file is
    a group, because its fixtures are.
    """
    for item in items:
        folder = item.path.relative_to(item.config.rootpath).parent.as_posix()
        clustered = isinstance(item, pytest.Function) and FIXTURES & set(item.fixturenames)
        if clustered:
            item.add_marker(pytest.mark.timeout(TEST_S))
        if clustered or folder == "tests/cluster":
            group = "cluster"
        else:
            group = "tests/local" if folder in ("tests/local", "tests/clients") else str(item.path)
        item.add_marker(pytest.mark.xdist_group(group))
