"""A small HTTP server on loopback that serves bytes with ranges, and misbehaves on request."""

import asyncio
import hashlib
import re
import ssl
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from aiohttp import web
from aiohttp.test_utils import TestServer

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]

MIB = 2**20


@dataclass
class Asked:
    """A request as it came."""

    method: str
    path: str
    headers: Mapping[str, str]
    target: str  # path and query, byte by byte


@dataclass
class Origin:
    """Answers by path: bytes are served as a file. Faults are set by tests, and used up one request at a time."""

    paths: dict[str, bytes | Answer] = field(default_factory=dict[str, "bytes | Answer"])
    asked: list[Asked] = field(default_factory=list[Asked])
    cuts: list[int] = field(default_factory=list[int])  # the next requests for files break off after so many bytes
    statuses: list[int] = field(default_factory=list[int])  # the next requests for files fail so
    pause_after: int | None = None  # bytes, then silence until `go`
    go: asyncio.Event = field(default_factory=asyncio.Event)
    ranges: bool = True
    shift: int = 0  # a lie about where a range begins
    etags: bool = True
    if_range: bool = True  # whether it knows what If-Range means
    lengths: bool = True
    authorization: str | None = None  # what files want
    _server: TestServer | None = None

    async def start(self, *, tls: ssl.SSLContext | None = None) -> None:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._answer)
        self._server = TestServer(app, host="127.0.0.1", scheme="https" if tls else "http")
        await self._server.start_server(ssl=tls)

    async def stop(self) -> None:
        self.go.set()
        assert self._server
        await self._server.close()

    @property
    def host(self) -> str:
        assert self._server
        return self._server.make_url("/").authority

    def url(self, path: str) -> str:
        assert self._server
        return f"{self._server.scheme}://{self.host}{path}"

    def gets(self, path: str) -> list[Asked]:
        return [asked for asked in self.asked if asked.path == path and asked.method == "GET"]

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(Asked(request.method, request.path, dict(request.headers), request.raw_path))
        answer = self.paths.get(request.path)
        if answer is None:
            return web.Response(status=404)
        return await self.send(request, answer) if isinstance(answer, bytes) else await answer(request)

    async def send(self, request: web.Request, data: bytes) -> web.StreamResponse:
        """Send `data`, or the range of it that is asked for (RFC 9110, 14)."""
        if self.statuses:
            return web.Response(status=self.statuses.pop(0))
        if self.authorization and request.headers.get("Authorization") != self.authorization:
            return web.Response(status=401)
        etag = f'"{hashlib.md5(data, usedforsecurity=False).hexdigest()}"'
        headers = {"ETag": etag} if self.etags else {}
        start, status = 0, 200
        match = re.fullmatch(r"bytes=(\d+)-", request.headers.get("Range", ""))
        if match and self.ranges and (not self.if_range or request.headers.get("If-Range", etag) == etag):
            start, status = int(match[1]), 206
            if start >= len(data):
                return web.Response(status=416)
            headers["Content-Range"] = f"bytes {start + self.shift}-{len(data) - 1}/{len(data)}"
        response = web.StreamResponse(status=status, headers=headers)
        if self.lengths:
            response.content_length = len(data) - start
        await response.prepare(request)
        if request.method == "HEAD":
            return response
        await self._write(request, response, data[start:])
        return response

    async def _write(self, request: web.Request, response: web.StreamResponse, body: bytes) -> None:
        if self.cuts:
            await response.write(body[: self.cuts.pop(0)])
            assert request.transport
            request.transport.close()
            return
        if self.pause_after is not None:
            await response.write(body[: self.pause_after])
            await self.go.wait()
            body = body[self.pause_after :]
        await response.write(body)
        await response.write_eof()
