"""An upstream that streams answers as llama.cpp does: a small event per token, each in a write of its own, at a pace.

Run by bench.chain as a process of its own (`python -m bench.event_stream PORT`), beside the proxies that it is behind.

Invariant: events come at the pace of an engine, so that a proxy reads each of them by itself. Without a pace a proxy
would find many in one read, and its CPU time per event would be that of no real stream.
"""

import asyncio
import json
import sys
from typing import cast

EVENTS = 64
EVENTS_PER_S = 50
_HEAD = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nServer: llama.cpp\r\nTransfer-Encoding: chunked\r\n"
    b"Access-Control-Allow-Origin: \r\n\r\n"
)


class _Streams(asyncio.Protocol):
    """One connection: each request on it gets one stream."""

    sent = 0  # events, on all connections

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._got = b""
        self._next: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - the name is asyncio's
        self._transport = None
        if self._next:
            self._next.cancel()

    def data_received(self, data: bytes) -> None:
        self._got += data
        head, ended, body = self._got.partition(b"\r\n\r\n")
        if not ended or not _is_whole(head, body) or self._transport is None:
            return
        self._got = b""
        if head.startswith(b"GET /sent"):
            text = str(_Streams.sent).encode()
            self._transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(text), text))
            return
        self._transport.write(_HEAD)
        self._step(0, asyncio.get_running_loop().time())

    def _step(self, number: int, due: float) -> None:
        """Send one event, and have the next one sent when it is due, however late this one was."""
        if self._transport is None:
            return
        self._transport.write(_CHUNKS[number])
        _Streams.sent += 1
        if number + 1 < len(_CHUNKS):
            due += 1 / EVENTS_PER_S
            self._next = asyncio.get_running_loop().call_at(due, self._step, number + 1, due)


def _is_whole(head: bytes, body: bytes) -> bool:
    lowered = head.lower()
    if b"transfer-encoding: chunked" in lowered:
        return body.endswith(b"0\r\n\r\n")
    _, found, rest = lowered.partition(b"content-length:")
    return not found or len(body) >= int(rest.split(b"\r\n", 1)[0])


def _chunk(number: int) -> bytes:
    """Return an event as llama.cpp writes it, in a chunk of HTTP/1.1."""
    event: dict[str, object] = {
        "choices": [{"finish_reason": None, "index": 0, "delta": {"content": " word"}}],
        "created": 1796000000,
        "id": "chatcmpl-7Zr1qWfXoVbJt0mYbq2JpBf5sD3nQhLw",
        "model": "chat",
        "system_fingerprint": "b1-0000000",
        "object": "chat.completion.chunk",
    }
    after = b""
    if number == 0:
        event["choices"] = [{"finish_reason": None, "index": 0, "delta": {"role": "assistant", "content": None}}]
    if number == EVENTS - 1:
        event["choices"] = [{"finish_reason": "length", "index": 0, "delta": {}}]
        event["usage"] = {
            "completion_tokens": EVENTS,
            "prompt_tokens": 32,
            "total_tokens": EVENTS + 32,
            "prompt_tokens_details": {"cached_tokens": 0},
        }
        event["timings"] = {"cache_n": 0, "prompt_n": 32, "prompt_ms": 20.5, "predicted_n": EVENTS}
        after = b"0\r\n\r\n"
    text = b"data: " + json.dumps(event, separators=(",", ":")).encode() + b"\n\n"
    if after:
        text += b"data: [DONE]\n\n"
    return b"%x\r\n%s\r\n%s" % (len(text), text, after)


_CHUNKS = tuple(_chunk(number) for number in range(EVENTS))


async def _serve(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(_Streams, "127.0.0.1", port, backlog=512)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_serve(int(sys.argv[1])))
