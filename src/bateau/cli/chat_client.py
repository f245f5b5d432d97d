"""Send a chat request through the gateway, and stream the answer.

Called by cli.run and cli.up.
Source: OpenAI API reference, chat completions, streaming; `timings` is llama.cpp's own addition.
"""

import json
import os
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Final

from bateau.domain.errors import ControlError
from bateau.kit.json_value import Json, JsonObject, array_at, object_at, text_at

Message = dict[str, str]
KEY_VARIABLE: Final = "BATEAU_API_KEY"
_DOTS_OF_TOKEN: Final = 2


@dataclass
class Answer:
    """A streamed answer and its figures: times in seconds, None if the engine does not report them."""

    text: str = ""
    tokens_in: int | None = None
    tokens_out: int | None = None
    tokens_per_second: float | None = None
    first_token_s: float | None = None
    pieces: list[str] = field(default_factory=list[str])

    def figures(self) -> str:
        """Return one line with the known figures."""
        parts: list[str] = []
        if self.tokens_in is not None:
            parts.append(f"{self.tokens_in} tokens in, {self.tokens_out} out")
        if self.tokens_per_second is not None:
            parts.append(f"{self.tokens_per_second:.0f} tokens/s")
        if self.first_token_s is not None:
            parts.append(f"first token {self.first_token_s * 1000:.0f} ms")
        return " · ".join(parts)


async def ask(base_url: str, model: str, messages: Sequence[Message], answer: Answer) -> AsyncIterator[str]:
    """Yield the pieces of the answer as they arrive, and fill in `answer`. Raises ControlError.

    Sends the API key that the environment has in BATEAU_API_KEY.
    """
    import aiohttp

    body = {"model": model, "messages": list(messages), "stream": True, "stream_options": {"include_usage": True}}
    started = time.monotonic()
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=5)
    key = os.environ.get(KEY_VARIABLE)
    headers = {"authorization": f"Bearer {key}"} if key else {}
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout, headers=headers) as session,
            session.post(f"{base_url}/chat/completions", json=body) as response,
        ):
            if response.status != HTTPStatus.OK:
                raise ControlError(
                    _error_message(await response.text(), response.status),
                    hint=_key_hint(key) if response.status == HTTPStatus.UNAUTHORIZED else None,
                )
            async for line in response.content:
                data = line.decode("utf-8", errors="replace").strip().removeprefix("data:").strip()
                if not data or data == "[DONE]" or data.startswith(":"):
                    continue
                piece = _take(json.loads(data), answer)
                if piece:
                    if answer.first_token_s is None:
                        answer.first_token_s = time.monotonic() - started
                    answer.text += piece
                    yield piece
    except aiohttp.ClientError as error:
        raise ControlError(
            f"the gateway closed the connection: {error}", hint="see `bateau status` and `bateau logs`"
        ) from error


def _key_hint(key: str | None) -> str:
    from bateau.kit.secret_key import is_key

    if key and key.count(".") == _DOTS_OF_TOKEN:
        return f"the value of {KEY_VARIABLE} is a token; `bateau keys issuer list` shows whose tokens are accepted"
    if key and not is_key(key):
        return f"the value of {KEY_VARIABLE} is not a secret of Bateau: it is mistyped, or a part of it is missing"
    return f"set {KEY_VARIABLE} to the secret of a key; `bateau keys create NAME` makes one"


def _take(chunk: Json, answer: Answer) -> str:
    if usage := object_at(chunk, "usage"):
        answer.tokens_in, answer.tokens_out = _count(usage, "prompt_tokens"), _count(usage, "completion_tokens")
    speed = object_at(chunk, "timings").get("predicted_per_second")
    if isinstance(speed, int | float):
        answer.tokens_per_second = speed
    if error := object_at(chunk).get("error"):
        raise ControlError(f"the model failed: {text_at(error, 'message') or error}")
    choice = next(iter(array_at(chunk, "choices")), None)
    return text_at(choice, "delta", "content")


def _count(usage: JsonObject, name: str) -> int | None:
    return number if isinstance(number := usage.get(name), int) else None


def _error_message(text: str, status: int) -> str:
    try:
        return str(json.loads(text)["error"]["message"])
    except (ValueError, KeyError, TypeError):
        return f"the gateway answered {status}"
