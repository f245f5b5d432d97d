"""The stream of the status while nothing changes."""

import asyncio
from pathlib import Path

import pytest

from bateau.api import status_routes
from bateau.api.server import ApiServer
from bateau.domain.status import Status
from control.world import model, world


async def test_an_unchanged_status_is_encoded_once_and_kept_alive_by_comments(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoded: list[Status] = []
    encode = status_routes.encode

    def counted(found: Status) -> str:
        encoded.append(found)
        return encode(found)

    async def metrics() -> str:
        return ""

    monkeypatch.setattr(status_routes, "encode", counted)
    monkeypatch.setattr(status_routes, "KEEP_ALIVE_S", 0.05)
    async with world(chat=model()) as w:
        await w.until(lambda: w.status.rolled_out)
        await w.turns()
        server = ApiServer(tmp_path / "c.sock", snapshots=w.control.snapshots, metrics=metrics, stop=asyncio.Event())
        await server.open()
        try:
            reader, writer = await asyncio.open_unix_connection(str(tmp_path / "c.sock"))
            writer.write(b"GET /v1/status/stream HTTP/1.1\r\nhost: localhost\r\n\r\n")
            async with asyncio.timeout(10):
                for _ in range(4):
                    await reader.readuntil(b": nothing has changed\n\n")
            other_reader, other = await asyncio.open_unix_connection(str(tmp_path / "c.sock"))
            other.write(b"GET /v1/status/stream HTTP/1.1\r\nhost: localhost\r\n\r\n")
            async with asyncio.timeout(10):
                await other_reader.readuntil(b": nothing has changed\n\n")
            assert len(encoded) == 1, "a second reader gets the same text"
            writer.close()
            other.close()
        finally:
            await server.close()
