"""The stream of the status while nothing changes."""

import asyncio
from pathlib import Path

import pytest

from bateau.api import status_routes
from bateau.api.encoding import StatusEncoder, encode
from bateau.api.server import ApiServer
from bateau.domain.status import Status
from control.world import app, model, world


async def test_an_unchanged_status_is_encoded_once_and_kept_alive_by_comments(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoded: list[Status] = []
    text = StatusEncoder.text

    def counted(self: StatusEncoder, found: Status) -> str:
        encoded.append(found)
        return text(self, found)

    async def metrics() -> str:
        return ""

    monkeypatch.setattr(StatusEncoder, "text", counted)
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


async def test_the_text_of_an_unchanged_service_is_used_again() -> None:
    """Issue 8: with 1,000 apps, each change of one cost the encoding of all."""
    async with world(chat=model(), shop=app()) as w:
        await w.until(lambda: w.status.rolled_out)
        await w.turn()
        before, encoder = w.control.snapshots.latest, StatusEncoder()
        assert before is not None
        assert encoder.text(before) == encode(before)
        w.keeper.crash("model.chat.0")
        await w.until(lambda: w.control.snapshots.latest is not before)
        after = w.control.snapshots.latest
        assert after is not None
        assert encoder.text(after) == encode(after)
        assert [one is other for one, other in zip(before.services, after.services, strict=True)] == [True, False]
