"""One Envoy for each module of tests, and two upstreams; every test begins with fresh ones behind it."""

from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio

from traffic.gateway import Gateway, running_gateway
from traffic.upstream import Upstream, upstream


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def gateway() -> AsyncIterator[Gateway]:
    async with running_gateway() as made:
        yield made


@pytest_asyncio.fixture(loop_scope="module")
async def first(gateway: Gateway) -> AsyncIterator[Upstream]:
    async with upstream("model.chat.0", gateway.base / "0.sock") as made:
        yield made


@pytest_asyncio.fixture(loop_scope="module")
async def second(gateway: Gateway) -> AsyncIterator[Upstream]:
    async with upstream("model.chat.1", gateway.base / "1.sock") as made:
        yield made


@pytest.fixture(autouse=True)
def all_acknowledged(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Envoy acknowledges all that it is sent without delay; what it waits for was not sent, or in the wrong order."""
    yield
    late = [r.getMessage() for r in caplog.get_records("call") if "has not acknowledged" in r.getMessage()]
    assert late == []
