"""Options of the test suite, and the fixtures that tests of every folder may use."""

import pytest
from hypothesis import settings

from cluster.fixtures import FIXTURES, TEST_S, cluster, control_plane

__all__ = ["cluster", "control_plane"]

# How long an example takes says nothing: the machine may be busy.
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--accept", action="store_true", help="rewrite expected outputs with what came out")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if isinstance(item, pytest.Function) and FIXTURES & set(item.fixturenames):
            item.add_marker(pytest.mark.timeout(TEST_S))
