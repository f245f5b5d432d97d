"""One streamed answer, timed at the socket.

Used by tokens, startup, contenders and cold.
"""

import http.client
import json
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Timing:
    """Seconds until the first token, tokens, and tokens a second after the first."""

    first_token_s: float
    tokens: int
    tokens_per_s: float


class _Unix(http.client.HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=120)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(self._path)


def connect(target: str | int) -> http.client.HTTPConnection:
    """Return a connection to a unix socket (a path) or a loopback port (a number)."""
    return _Unix(target) if isinstance(target, str) else http.client.HTTPConnection("127.0.0.1", target, timeout=120)


def post(target: str | int, body: Mapping[str, object], secret: str | None = None) -> int:
    """Send one request, read the whole answer, and return its status. Raises OSError if nothing listens."""
    connection = connect(target)
    try:
        connection.request("POST", "/v1/chat/completions", json.dumps(body), _headers(secret))
        response = connection.getresponse()
        response.read()
    except http.client.HTTPException as error:
        raise ConnectionError(str(error)) from error
    finally:
        connection.close()
    return response.status


def stream(target: str | int, prompt: str, *, tokens: int, model: str = "chat", secret: str | None = None) -> Timing:
    """Ask for `tokens` tokens and time them."""
    body = {
        "model": model,
        "messages": [{"role": "user", "content": prompt}],
        "max_tokens": tokens,
        "temperature": 0,
        "stream": True,
        "cache_prompt": False,
        "ignore_eos": True,
    }
    connection = connect(target)
    connection.connect()
    started = time.perf_counter()
    connection.request("POST", "/v1/chat/completions", json.dumps(body), _headers(secret))
    response = connection.getresponse()
    first = last = 0.0
    count = 0
    for line in response:
        if line.startswith(b'data: {"choices":[{') and b'"content":"' in line:
            last = time.perf_counter()
            first = first or last
            count += 1
    connection.close()
    assert count > 1, f"no answer: {response.status}"
    return Timing(first - started, count, (count - 1) / (last - first))


def _headers(secret: str | None) -> dict[str, str]:
    return {"content-type": "application/json"} | ({"authorization": f"Bearer {secret}"} if secret else {})
