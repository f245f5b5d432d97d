"""One Envoy for each module of tests and each chain of filters, and two upstreams that are fresh for every test."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from traffic.gateway import Gateway, native_library, running_gateway
from traffic.upstream import Upstream, upstream

# What both chains of filters must do. The other modules of this folder are about what is behind them.
BOTH = (
    *("test_clients", "test_cors", "test_errors", "test_gateway", "test_issuers", "test_keys", "test_listed"),
    *("test_metrics", "test_model_limits", "test_routing", "test_streams", "test_translator", "test_usage"),
    *("test_balancing", "test_dashboard", "test_load", "test_sleep"),
)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "filters" in metafunc.fixturenames:
        both = metafunc.definition.path.stem in BOTH
        metafunc.parametrize("filters", ["stock", "native"] if both else ["stock"], scope="module")


@pytest.fixture(scope="module")
def library(filters: str) -> Path | None:
    """The library of the native filter, None for Envoy's own filters."""
    return native_library() if filters == "native" else None


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def gateway(library: Path | None) -> AsyncIterator[Gateway]:
    async with running_gateway(library) as made:
        yield made


@pytest_asyncio.fixture(loop_scope="module")
async def first(gateway: Gateway) -> AsyncIterator[Upstream]:
    await gateway.publish()  # Envoy remembers for a second which endpoints of the test before refused it
    async with upstream("model.chat.0", gateway.base / "0.sock") as made:
        yield made


@pytest_asyncio.fixture(loop_scope="module")
async def second(gateway: Gateway) -> AsyncIterator[Upstream]:
    async with upstream("model.chat.1", gateway.base / "1.sock") as made:
        yield made
