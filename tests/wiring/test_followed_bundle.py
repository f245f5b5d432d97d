"""What a controller sees of a bundle whose registry moves its tag, is down, or has one that must not be applied."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from pathlib import Path
from typing import ParamSpec, TypeVar

import pytest

from bateau.control.deliveries import Deliveries
from bateau.domain.errors import ControlError, SourceUnreachable
from bateau.domain.offers import Offers
from bateau.sources.bundles import push
from bateau.sources.settings import Settings
from bateau.wiring.declaring import Declaring
from bateau.wiring.followed_bundle import FollowedBundle
from bateau.wiring.packing import Packer
from bateau.wiring.question import Question
from bateau.wiring.worker import Worker
from sources.origin import Origin
from sources.stored_bundles import Stored

HEAD = "apiVersion: bateau.dev/v1alpha1\n"
APP = f"{HEAD}kind: App\nmetadata: {{name: shop}}\nspec: {{image: 'r.example/shop:%s'}}\n"
ENVIRONMENTS = "---\n".join(f"{HEAD}kind: Environment\nmetadata: {{name: {each}}}\n" for each in ("prod", "staging"))
Given = ParamSpec("Given")
Made = TypeVar("Made")
Publish = Callable[..., Awaitable[None]]


class Here(Worker):
    """Works in this process: another one takes a second to start."""

    async def call(self, function: Callable[Given, Made], *given: Given.args, **named: Given.kwargs) -> Made:
        return function(*given, **named)


@pytest.fixture
async def stored() -> AsyncGenerator[Stored]:
    server = Origin()
    await server.start()
    yield Stored(server)
    await server.stop()


@pytest.fixture
def publish(stored: Stored, tmp_path: Path) -> Publish:
    """Return the function that pushes the bundle of one version of an app."""

    async def make(version: int, environment: str = "prod") -> None:
        folder = tmp_path / "specs"
        folder.mkdir(exist_ok=True)
        (folder / "specs.yaml").write_text(f"{APP % version}---\n{ENVIRONMENTS}")
        packer = Packer(Question(directory=folder, environment=environment), cache=tmp_path)
        data = packer.bundle(packer.pack(environment))
        packer.close()
        await push(stored.reference(), data, title="a", settings=Settings(base=tmp_path, environ={}))

    return make


@pytest.fixture
def followed(stored: Stored, tmp_path: Path) -> FollowedBundle:
    settings = Settings(base=tmp_path, environ={})

    async def none() -> Offers:
        return Offers()

    declaring = Declaring(Here(), "1.37", none)
    return FollowedBundle(stored.reference(), settings, declaring, environment="prod", interval_s=0.02)


async def until(done: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not done():  # noqa: ASYNC110 - the registry counts requests
            await asyncio.sleep(0.01)


async def image_of(followed: FollowedBundle) -> str:
    (unit,) = (await followed.declare(followed.read(), Deliveries())).units
    return str(unit.body).partition("r.example/shop:")[2][0]


async def test_a_bundle_is_fetched_only_when_the_tag_has_another_one(
    stored: Stored, followed: FollowedBundle, publish: Publish
) -> None:
    await publish(1)
    await followed.open()
    assert await image_of(followed) == "1"
    changes = followed.changes()
    seen = asyncio.ensure_future(anext(changes))
    await until(lambda: stored.asked("HEAD", "manifests/prod") >= 8)
    assert stored.asked("GET", "blobs/") == 1
    assert not seen.done()
    await publish(2)
    await seen
    assert await image_of(followed) == "2"
    assert stored.asked("GET", "blobs/") == 2


async def test_a_registry_that_is_down_is_reported_and_the_bundle_stays(
    stored: Stored, followed: FollowedBundle, publish: Publish
) -> None:
    await publish(1)
    stored.down = True
    opening = asyncio.ensure_future(followed.open())
    await until(lambda: followed.failures > 0)
    assert followed.trouble is not None
    assert "HTTP 503" in followed.trouble
    stored.down = False
    await opening
    assert followed.trouble is None
    stored.down = True
    for _ in range(2):
        with pytest.raises(SourceUnreachable, match="HTTP 503"):
            await anext(followed.changes())
    assert await image_of(followed) == "1"
    stored.down = False
    await anext(followed.changes())  # so that the trouble ends, although nothing is new
    assert await image_of(followed) == "1"


async def test_a_bundle_of_another_environment_is_refused_and_the_next_one_is_followed(
    stored: Stored, followed: FollowedBundle, publish: Publish
) -> None:
    await publish(1)
    await followed.open()
    await publish(2, "staging")
    changes = followed.changes()
    await anext(changes)
    for _ in range(2):
        with pytest.raises(ControlError, match="is a bundle of staging in namespace default, not of prod"):
            await image_of(followed)
    assert stored.asked("GET", "blobs/") == 2
    await publish(3)
    await anext(changes)
    assert await image_of(followed) == "3"
