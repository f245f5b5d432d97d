"""Over smart HTTP, credentials reach the server and appear nowhere else."""

from collections.abc import AsyncGenerator, Callable

import pytest

from bateau.domain.errors import SourceDenied, SourceNotFound
from bateau.sources.git import GitTexts
from git.bridge import Bridge, bridge_to
from git.workshop import Workshop

Follow = Callable[..., GitTexts]


@pytest.fixture
async def bridge(workshop: Workshop) -> AsyncGenerator[Bridge]:
    async with bridge_to(workshop.directory.parent) as made:
        yield made


async def test_credentials_of_the_url_open_the_repository_and_are_no_argument(
    bridge: Bridge, workshop: Workshop, follow: Follow
):
    workshop.commit("one", shop="a: 1\n")
    texts = follow(f"git+http://ada:hunter2@{bridge.url}@main")
    await texts.refresh()
    assert texts.read() == {"shop.yaml": "a: 1\n"}
    assert bridge.arguments
    assert not [line for line in bridge.arguments if "hunter2" in line]


async def test_wrong_credentials_are_refused_at_once_and_not_asked_for(
    bridge: Bridge, workshop: Workshop, follow: Follow
):
    workshop.commit("one", shop="a: 1\n")
    texts = follow(f"git+http://ada:guess@{bridge.url}@main")
    await texts.refresh()
    with pytest.raises(SourceDenied) as caught:
        texts.read()
    assert "guess" not in caught.value.message


async def test_a_repository_that_is_not_there_is_said(bridge: Bridge, follow: Follow):
    texts = follow(f"git+http://ada:hunter2@{bridge.url.removesuffix('acme/.git')}none.git")
    await texts.refresh()
    with pytest.raises(SourceNotFound, match="not found"):
        texts.read()
