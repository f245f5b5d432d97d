"""Over smart HTTP, with git's own server behind a small bridge: credentials arrive, and show nowhere else."""

import asyncio
import os
from base64 import b64encode
from collections.abc import AsyncGenerator, Callable
from pathlib import Path

import pytest
from aiohttp import web

from bateau.domain.errors import SourceDenied, SourceNotFound
from bateau.sources.git import GitTexts
from git.workshop import Workshop

Follow = Callable[..., GitTexts]


class Bridge:
    """Hands requests over to `git http-backend`, as a web server does by CGI. `url` has no credentials."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self.asked: list[str] = []
        self.arguments: set[str] = set()
        self.url = ""

    async def answer(self, request: web.Request) -> web.Response:
        self.asked.append(request.path)
        self.arguments |= _arguments_of_git()
        if request.headers.get("Authorization") != f"Basic {b64encode(b'ada:hunter2').decode()}":
            return web.Response(status=401, headers={"WWW-Authenticate": 'Basic realm="acme"'})
        process = await asyncio.create_subprocess_exec(
            "git",
            "http-backend",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env={
                "PATH": os.environ["PATH"],
                "GIT_PROJECT_ROOT": str(self._root),
                "GIT_HTTP_EXPORT_ALL": "1",
                "PATH_INFO": request.path,
                "QUERY_STRING": request.query_string,
                "REQUEST_METHOD": request.method,
                "CONTENT_TYPE": request.headers.get("Content-Type", ""),
                "HTTP_CONTENT_ENCODING": "",
                "GIT_PROTOCOL": request.headers.get("Git-Protocol", ""),
            },
        )
        out, _ = await process.communicate(await request.read())
        head, _, body = out.partition(b"\r\n\r\n")
        headers = dict(line.split(": ", 1) for line in head.decode().split("\r\n"))
        status = int(headers.pop("Status", "200").split()[0])
        return web.Response(status=status, headers=headers, body=body)


def _arguments_of_git() -> set[str]:
    """What anybody on the machine can see of the processes that run."""
    found: set[str] = set()
    for each in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = each.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if "git" in line and "fetch" in line:
            found.add(line)
    return found


@pytest.fixture
async def bridge(workshop: Workshop) -> AsyncGenerator[Bridge]:
    made = Bridge(workshop.directory.parent)
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", made.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    made.url = f"127.0.0.1:{runner.addresses[0][1]}/acme/.git"
    yield made
    await runner.cleanup()


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
