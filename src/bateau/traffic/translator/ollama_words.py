"""Translate between Ollama's requests and answers and those of OpenAI's API.

Called by traffic.translator.ollama. Pure but for the clock. Source: Ollama's API reference; OpenAI's API reference,
"Chat"; llama.cpp's server, whose chat takes its sampling options beside OpenAI's.
"""

import json
import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from bateau.kit.json_value import Json, JsonObject, array_at, object_at, text_at
from bateau.traffic.translator.gateway import Refused

# By their names at the engine. Options about loading, such as num_ctx, are those of the spec.
_OPTIONS: Final[Mapping[str, str]] = {
    "num_predict": "max_tokens",
    **{
        name: name
        for name in (
            *("temperature", "top_p", "top_k", "min_p", "typical_p", "seed", "stop", "presence_penalty"),
            *("frequency_penalty", "repeat_penalty", "repeat_last_n", "mirostat", "mirostat_tau", "mirostat_eta"),
        )
    },
}
_DURATION: Final = re.compile(r"[+-]?(0|([\d.]+(ns|us|µs|ms|s|m|h))+)")
_IMAGE: Final = "data:image/png;base64,"


def now() -> str:
    """Return the time as Ollama writes it."""
    return datetime.now(tz=UTC).isoformat().replace("+00:00", "Z")


def chat_request(model: str, body: Mapping[str, Json]) -> dict[str, Any]:
    """Return the request to /v1/chat/completions for one to /api/chat. Raises Refused."""
    asked = {"model": model, "messages": list(_messages(array_at(body, "messages"))), **_sampling(body)}
    if tools := body.get("tools"):
        asked["tools"] = tools
    return asked


def generate_request(model: str, body: Mapping[str, Json]) -> dict[str, Any]:
    """Return the request to /v1/chat/completions for one to /api/generate. Raises Refused."""
    system, prompt = body.get("system"), body.get("prompt") or ""
    if not isinstance(prompt, str):
        raise Refused("prompt is not a text")
    messages: list[dict[str, Any]] = [{"role": "system", "content": system}] if system else []
    messages.append({"role": "user", "content": _content(prompt, body.get("images"))})
    return {"model": model, "messages": messages, **_sampling(body)}


def completion_request(model: str, body: Mapping[str, Json]) -> dict[str, Any]:
    """Return the request to /v1/completions for a raw one to /api/generate: without the template of the model."""
    return {"model": model, "prompt": body.get("prompt"), **_sampling(body)}


def is_nothing(duration: Json) -> bool:
    """Return whether a `keep_alive` is zero: a number of seconds, or a text in Go's form of durations.

    >>> [is_nothing(each) for each in (0, "0", "0s", "0m0s", -1, "5m", "10s", None, False)]
    [True, True, True, True, False, False, False, False, False]
    """
    if isinstance(duration, str):
        return bool(_DURATION.fullmatch(duration)) and not re.search("[1-9]", duration)
    return duration == 0 and not isinstance(duration, bool)


def _sampling(body: Mapping[str, Json]) -> dict[str, Any]:
    options = {} if body.get("options") is None else body["options"]
    if not isinstance(options, dict):
        raise Refused("options is not an object")
    asked = {ours: options[theirs] for theirs, ours in _OPTIONS.items() if options.get(theirs) is not None}
    if isinstance(limit := asked.get("max_tokens"), int) and limit < 0:
        del asked["max_tokens"]  # as many as there is room for
    form = body.get("format")
    if form == "json":
        asked["response_format"] = {"type": "json_object"}
    elif isinstance(form, dict):
        asked["response_format"] = {"type": "json_schema", "json_schema": {"name": "format", "schema": form}}
    elif form:
        raise Refused('format is neither "json" nor a JSON schema')
    if (think := body.get("think")) is not None:
        asked["chat_template_kwargs"] = {"enable_thinking": bool(think)}
        if isinstance(think, str):
            asked["reasoning_effort"] = think
    return asked


def _messages(messages: list[Json]) -> Iterator[dict[str, Any]]:
    """Yield messages in OpenAI's form. Ollama's tool calls have no ids: results belong to calls by name, in order."""
    open_calls: list[tuple[str, str]] = []
    for index, message in enumerate(messages):
        if not isinstance(message, dict) or not isinstance(message.get("role"), str):
            raise Refused(f"messages[{index}] is not an object with a role")
        role, content = message["role"], message.get("content")
        if not isinstance(content, str | None):
            raise Refused(f"the content of messages[{index}] is not a text")
        found: dict[str, Any] = {"role": role, "content": _content(content or "", message.get("images"))}
        if role == "assistant" and (calls := array_at(message, "tool_calls")):
            made: list[dict[str, Any]] = []
            for number, call in enumerate(calls):
                name = text_at(call, "function", "name")
                identity = text_at(call, "id") or f"call_{index}_{number}"
                arguments = json.dumps(object_at(call, "function", "arguments"))
                function = {"name": name, "arguments": arguments}
                made.append({"id": identity, "type": "function", "function": function})
                open_calls.append((name, identity))
            found["tool_calls"] = made
        if role == "tool":
            wanted = text_at(message, "tool_name") or text_at(message, "name")
            place = next((i for i, (name, _) in enumerate(open_calls) if name == wanted or not wanted), None)
            found["tool_call_id"] = open_calls.pop(place)[1] if place is not None else text_at(message, "tool_call_id")
        yield found


def _content(text: str, images: Json) -> str | list[dict[str, Any]]:
    if not images:
        return text
    if not isinstance(images, list) or not all(isinstance(image, str) for image in images):
        raise Refused("images is not a list of texts in base64")
    parts: list[dict[str, Any]] = [{"type": "text", "text": text}]
    return parts + [{"type": "image_url", "image_url": {"url": f"{_IMAGE}{image}"}} for image in images]


@dataclass
class Reply:
    """One answer in Ollama's form, of /api/chat or of /api/generate. `shown` is the name that the client has used."""

    shown: str
    chat: bool
    _started: float = field(default_factory=time.monotonic)
    _first: float | None = None
    _reason: str = "stop"
    _usage: Mapping[str, Json] = field(default_factory=dict[str, Json])
    _timings: Mapping[str, Json] = field(default_factory=dict[str, Json])
    _calls: dict[int, dict[str, str]] = field(default_factory=dict[int, dict[str, str]])

    def pieces(self, event: Mapping[str, Json]) -> Iterator[JsonObject]:
        """Yield the lines for an event of a stream."""
        self._note(event)
        for choice in array_at(event, "choices")[:1]:
            delta = object_at(choice, "delta")
            self._collect(array_at(delta, "tool_calls"))
            text = text_at(choice, "text") or text_at(delta, "content")
            thought = text_at(delta, "reasoning_content")
            if text or thought:
                self._first = self._first or time.monotonic()
                yield self._line(text, thought)

    def last(self) -> JsonObject:
        """Return the last line of a stream, with the figures."""
        return {**self._line("", "", self._called()), **self._figures()}

    def whole(self, answer: Mapping[str, Json]) -> JsonObject:
        """Return the answer to a request without a stream."""
        self._note(answer)
        choice = next(iter(array_at(answer, "choices")), None)
        message = object_at(choice, "message")
        self._collect(array_at(message, "tool_calls"))
        text = text_at(choice, "text") or text_at(message, "content")
        return {**self._line(text, text_at(message, "reasoning_content"), self._called()), **self._figures()}

    def without_prompt(self, reason: str) -> JsonObject:
        """Return the answer to a request without a prompt."""
        return {**self._line("", ""), "done": True, "done_reason": reason}

    def _note(self, event: Mapping[str, Json]) -> None:
        self._usage = object_at(event, "usage") or self._usage
        self._timings = object_at(event, "timings") or self._timings
        for choice in array_at(event, "choices")[:1]:
            if reason := text_at(choice, "finish_reason"):
                self._reason = "length" if reason == "length" else "stop"

    def _collect(self, calls: list[Json]) -> None:
        """Put together the calls of tools, which come in pieces."""
        for position, call in enumerate(calls):
            index = call.get("index") if isinstance(call, dict) else None
            known = self._calls.setdefault(index if isinstance(index, int) else position, {"name": "", "arguments": ""})
            known["name"] += text_at(call, "function", "name")
            known["arguments"] += text_at(call, "function", "arguments")

    def _called(self) -> list[JsonObject]:
        return [
            {"function": {"name": call["name"], "arguments": _arguments(call["arguments"])}}
            for _, call in sorted(self._calls.items())
        ]

    def _line(self, text: str, thought: str, calls: list[JsonObject] | None = None) -> JsonObject:
        more: JsonObject = {"thinking": thought} if thought else {}
        if not self.chat:
            return {"model": self.shown, "created_at": now(), "response": text, **more, "done": False}
        message: JsonObject = {"role": "assistant", "content": text, **more}
        if calls:
            message["tool_calls"] = [*calls]
        return {"model": self.shown, "created_at": now(), "message": message, "done": False}

    def _figures(self) -> JsonObject:
        """Return the end of an answer: counts, and durations in nanoseconds. What is unknown is left out."""
        ended = time.monotonic()
        found: JsonObject = {
            "done": True,
            "done_reason": self._reason,
            "total_duration": int((ended - self._started) * 1e9),
        }
        for theirs, ours in (("prompt_tokens", "prompt_eval_count"), ("completion_tokens", "eval_count")):
            if isinstance(count := self._usage.get(theirs), int):
                found[ours] = count
        for theirs, ours in (("prompt_ms", "prompt_eval_duration"), ("predicted_ms", "eval_duration")):
            if isinstance(spent := self._timings.get(theirs), int | float):
                found[ours] = int(spent * 1e6)
        if "eval_duration" not in found and self._first is not None:
            found["prompt_eval_duration"] = int((self._first - self._started) * 1e9)
            found["eval_duration"] = int((ended - self._first) * 1e9)
        return found


def _arguments(text: str) -> Json:
    try:
        return json.loads(text or "{}")
    except ValueError:
        return {"arguments": text}
