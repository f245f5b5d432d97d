"""Webhooks at the control API: a genuine delivery triggers a fetch of the repository, any other has no effect."""

import asyncio
import contextlib
import logging
import os
import shutil
import tempfile
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from bateau.api.server import ApiServer
from bateau.control.snapshots import Snapshots
from bateau.domain.event import Event
from bateau.sources.git import Following
from bateau.sources.git.webhook import BODY_BYTES_MAX
from bateau.store.timeline import Timeline, TimelineReader
from bateau.wiring.repository import FollowedRepository, repository_of
from bateau.wiring.this_process import SystemClock
from bateau.wiring.webhook import GitWebhook
from git.deliveries import Delivery, delivery, push
from git.workshop import SPEC, Workshop

SECRET = "a secret"  # noqa: S105 - of this test
MAIN = "refs/heads/main"


@pytest.fixture
def socket() -> Iterator[Path]:
    # Short, as socket paths must be; pytest's own folders are too long.
    folder = Path(tempfile.mkdtemp(prefix="bt-"))
    yield folder / "control.sock"
    shutil.rmtree(folder)


@pytest.fixture
def workshop(tmp_path: Path) -> Workshop:
    made = Workshop(tmp_path / "acme")
    made.commit("one", shop=SPEC.format(1))
    return made


@dataclass
class Scene:
    """A repository that is fetched once an hour, and the API that receives deliveries."""

    repository: FollowedRepository
    session: aiohttp.ClientSession
    timeline: Timeline
    path: Path

    def recorded(self) -> list[Event]:
        """Return what the timeline has recorded. No event is recorded after this."""
        self.timeline.close()
        reader = TimelineReader(self.path)
        entries = reader.entries(service=None, since=0.0, limit=100)
        reader.close()
        return [entry.event for entry in entries]

    async def post(self, sent: Delivery) -> tuple[int, str]:
        return await self.post_data(sent.body, sent.headers)

    async def post_data(self, data: bytes | AsyncIterator[bytes], headers: Mapping[str, str]) -> tuple[int, str]:
        async with self.session.post("http://control/-/webhooks/git", data=data, headers=headers) as response:
            tree: dict[str, Any] = await response.json()
            return response.status, tree["says"]

    async def is_looked_at(self) -> bool:
        """Whether a change comes that no interval brings."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(anext(aiter(self.repository.changes())), 1.0)
            return True
        return False


@contextlib.asynccontextmanager
async def scene(
    workshop: Workshop, socket: Path, *, ref: str = "@main", secret: str | None = SECRET
) -> AsyncGenerator[Scene, None]:
    reference = repository_of(workshop.url + ref)
    assert reference is not None
    base = workshop.directory.parent
    repository = FollowedRepository(
        reference,
        cache=base / "cache",
        directory=base / "source",
        environ={"PATH": os.environ["PATH"], "HOME": str(base), "GIT_CONFIG_NOSYSTEM": "1"},
        following=Following(interval_s=3600),
    )
    await repository.open()
    timeline = Timeline(base / "timeline.sqlite")
    webhook = GitWebhook(repository, secret=secret, clock=SystemClock(), timeline=timeline)
    async with api(socket, webhook) as session:
        yield Scene(repository, session, timeline, base / "timeline.sqlite")
    timeline.close()


@contextlib.asynccontextmanager
async def api(socket: Path, webhook: GitWebhook) -> AsyncGenerator[aiohttp.ClientSession, None]:
    async def metrics() -> str:
        return ""

    server = ApiServer(
        socket, snapshots=Snapshots(), metrics=metrics, stop=asyncio.Event(), webhooks={"/-/webhooks/git": webhook}
    )
    await server.open()
    try:
        async with aiohttp.ClientSession(connector=aiohttp.UnixConnector(str(socket))) as session:
            yield session
    finally:
        await server.close()


async def test_a_push_of_what_is_followed_is_there_at_once(workshop: Workshop, socket: Path):
    async with scene(workshop, socket) as s:
        coming = asyncio.ensure_future(anext(aiter(s.repository.changes())))
        commit = workshop.commit("two", shop=SPEC.format(2))
        assert await s.post(push(MAIN, secret=SECRET)) == (202, "main was pushed and is fetched")
        await asyncio.wait_for(coming, 20)
        assert s.repository.commit_id == commit
        assert s.repository.read() == {"shop.yaml": SPEC.format(2)}
        laid_out = workshop.directory.parent / "source" / "shop.yaml"
        assert await asyncio.to_thread(laid_out.read_text) == SPEC.format(2)


@pytest.mark.parametrize(
    ("ref", "pushed", "status"),
    [
        ("@main", "refs/heads/other", 200),
        ("@main", "refs/heads/feature/main", 200),
        ("@main", "refs/tags/main", 202),
        ("@heads/main", MAIN, 202),
        ("@refs/heads/main", MAIN, 202),
        ("", "refs/heads/trunk", 202),
        ("", "refs/tags/v1", 200),
        ("@COMMIT", MAIN, 200),
    ],
)
async def test_only_what_may_have_moved_is_looked_at(
    workshop: Workshop, socket: Path, ref: str, pushed: str, status: int
):
    ref = ref.replace("COMMIT", workshop.git("rev-parse", "HEAD"))
    async with scene(workshop, socket, ref=ref) as s:
        assert (await s.post(push(pushed, secret=SECRET)))[0] == status


async def test_what_is_genuine_and_about_something_else_is_taken_and_left(workshop: Workshop, socket: Path):
    async with scene(workshop, socket) as s:
        workshop.commit("two", shop=SPEC.format(2))
        ping = delivery(b"{}", secret=SECRET, event="ping")
        assert await s.post(ping) == (200, "nothing to do for the event ping")
        other = push("refs/heads/other", secret=SECRET)
        assert await s.post(other) == (200, "other was pushed, but is not followed")
        assert not await s.is_looked_at()


@pytest.mark.parametrize(
    ("sent", "answer"),
    [
        (push(MAIN, secret="another secret"), (401, "the signature is wrong")),
        (Delivery(headers={"X-GitHub-Event": "push"}, body=b"{}"), (401, "the signature is missing")),
        (delivery(b"{", secret=SECRET), (400, "the body is not JSON; set the content type application/json")),
        (
            Delivery(headers={"Content-Encoding": "gzip"}, body=b"{}"),
            (400, "the body is incomplete, or does not match its declared encoding"),
        ),
    ],
)
async def test_what_is_refused_moves_nothing(workshop: Workshop, socket: Path, sent: Delivery, answer: tuple[int, str]):
    async with scene(workshop, socket) as s:
        workshop.commit("two", shop=SPEC.format(2))
        assert await s.post(sent) == answer
        assert not await s.is_looked_at()


async def test_a_body_beyond_the_bound_is_refused_before_it_ends(workshop: Workshop, socket: Path):
    more = asyncio.Event()

    async def endless() -> AsyncIterator[bytes]:
        for _ in range(BODY_BYTES_MAX // 2**20 + 1):
            yield bytes(2**20)
        await more.wait()

    async with scene(workshop, socket) as s:
        signed = push(MAIN, secret=SECRET).headers
        assert await s.post_data(endless(), signed) == (413, "the body is larger than 26,214,400 bytes")
        more.set()


async def test_a_sender_who_breaks_off_is_no_trouble(
    workshop: Workshop, socket: Path, caplog: pytest.LogCaptureFixture
):
    async with scene(workshop, socket) as s:
        _, writer = await asyncio.open_unix_connection(str(socket))
        writer.write(b"POST /-/webhooks/git HTTP/1.1\r\nhost: control\r\ncontent-length: 100\r\n\r\n{")
        await writer.drain()
        writer.close()
        await writer.wait_closed()
        assert (await s.post(push(MAIN, secret=SECRET)))[0] == 202
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING] == []


@pytest.mark.parametrize("secret", [None, ""])
async def test_without_a_secret_nothing_is_believed(workshop: Workshop, socket: Path, secret: str | None):
    async with scene(workshop, socket, secret=secret) as s:
        assert await s.post(push(MAIN, secret="")) == (503, "no secret is set, so all webhooks are rejected")
        gitlab = {"X-Gitlab-Event": "Push Hook", "X-Gitlab-Token": ""}
        assert (await s.post(Delivery(headers=gitlab, body=push(MAIN, secret="").body)))[0] == 503
        assert not await s.is_looked_at()


async def test_where_no_repository_is_followed_events_are_recorded_and_nothing_is_fetched(tmp_path: Path, socket: Path):
    timeline = Timeline(tmp_path / "timeline.sqlite")
    async with api(socket, GitWebhook(None, secret=SECRET, clock=SystemClock(), timeline=timeline)) as session:
        sent = push(MAIN, secret=SECRET)
        url = "http://control/-/webhooks/git"
        async with session.post(url, data=sent.body, headers=sent.headers) as response:
            assert response.status == 200
            assert await response.json() == {"says": "main was pushed, but no repository is followed"}
        async with session.get(url) as response:
            assert response.status == 405
    timeline.close()
    reader = TimelineReader(tmp_path / "timeline.sqlite")
    assert [entry.event.reason for entry in reader.entries(service=None, since=0.0, limit=10)] == ["Pushed"]
    reader.close()


async def test_a_genuine_event_is_recorded_once_and_a_forged_one_never(workshop: Workshop, socket: Path):
    async with scene(workshop, socket) as s:
        body = b'{"workflow_run": {"name": "build", "conclusion": "success", "head_sha": "abcd"}}'
        run = delivery(body, secret=SECRET, event="workflow_run")
        assert await s.post(run) == (200, "the event workflow_run was recorded")
        replayed = Delivery(headers={**run.headers, "X-GitHub-Delivery": "another"}, body=run.body)
        assert (await s.post(replayed))[0] == 200
        forged = delivery(body.replace(b"success", b"failure"), secret="a guess", event="workflow_run")
        assert (await s.post(forged))[0] == 401
        assert [(event.reason, event.says) for event in s.recorded()] == [("WorkflowSuccess", "build: success")]


async def test_the_log_has_no_secret_and_says_a_refusal_once(
    workshop: Workshop, socket: Path, caplog: pytest.LogCaptureFixture
):
    caplog.set_level(logging.INFO, "bateau.wiring")
    async with scene(workshop, socket) as s:
        for secret in ("guess", "guess", SECRET, "guess"):
            await s.post(push(MAIN, secret=secret))
    lines = [record.getMessage() for record in caplog.records if record.name == "bateau.wiring.webhook"]
    refused = "a webhook was rejected: the signature is wrong"
    assert lines == [refused, "a webhook reports a push to main", refused]
    assert SECRET not in caplog.text
