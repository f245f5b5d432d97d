"""git's own server behind a small bridge: smart HTTP on loopback, for ada with the password hunter2."""

import asyncio
import contextlib
import os
from base64 import b64encode
from collections.abc import AsyncGenerator
from pathlib import Path

from aiohttp import web

from answering import answering


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


@contextlib.asynccontextmanager
async def bridge_to(root: Path) -> AsyncGenerator[Bridge, None]:
    """Serve the repositories below `root` for the length of a block; `url` is that of `root/acme`."""
    made = Bridge(root)
    async with answering(made.answer) as url:
        made.url = f"{url.removeprefix('http://')}/acme/.git"
        yield made
