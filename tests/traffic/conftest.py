"""One Envoy for each module of tests, and two upstreams; every test begins with fresh ones behind it."""

from collections.abc import AsyncIterator

import pytest_asyncio

from traffic.gateway import Gateway, running_gateway
from traffic.upstream import Upstream, upstream


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def gateway() -> AsyncIterator[Gateway]:
    async with running_gateway() as made:
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
