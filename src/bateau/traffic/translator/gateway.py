"""Ask the gateway in the name of the caller, and report its errors in the shape of the translated APIs.

Called by traffic.translator. Source: Ollama's API reference and the Open Inference Protocol, version 2: errors are
`{"error": "text"}` in both.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from types import TracebackType
from typing import Any, Final, Self

import aiohttp
import orjson
from aiohttp import web
from aiohttp.typedefs import Handler
from yarl import URL

from bateau.kit.json_value import Json, JsonObject, is_object, text_at

logger = logging.getLogger(__name__)

# The gateway has checked the key, or a token, and names it here; the trace continues.
_PASSED: Final = ("x-bateau-key", "x-bateau-owner", "x-bateau-models", "traceparent", "tracestate")
_LATEST: Final = ":latest"
_ERROR: Final = 400
_MESSAGE_MAX: Final = 500


class Refused(Exception):  # noqa: N818 - it says what happened
    """A request cannot be answered; `says` is for its client, `again_s` its Retry-After."""

    def __init__(self, says: str, *, status: int = 400, again_s: str | None = None) -> None:
        super().__init__(says)
        self.says = says
        self.status = status
        self.again_s = again_s


class Gateway:
    """A client of the gateway's listener for the translator."""

    def __init__(self, socket: str) -> None:
        self._socket = socket
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        connector = aiohttp.UnixConnector(path=self._socket, limit=0)
        # The gateway bounds how long a request may take.
        timeout = aiohttp.ClientTimeout(total=None)
        self._session = aiohttp.ClientSession(connector=connector, timeout=timeout, auto_decompress=False)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._session:
            await self._session.close()

    async def get(self, caller: web.Request, path: str) -> JsonObject:
        """Return the JSON object at a path. Raises Refused."""
        async with self._ask(caller, "GET", path, None) as answer:
            return _object(await answer.read())

    async def post(self, caller: web.Request, path: str, body: Mapping[str, Any]) -> JsonObject:
        """Return the JSON object that the gateway answers. Raises Refused."""
        async with self._ask(caller, "POST", path, body) as answer:
            return _object(await answer.read())

    async def events(self, caller: web.Request, path: str, body: Mapping[str, Any]) -> AsyncIterator[JsonObject]:
        """Yield the data of each server-sent event of a stream. Raises Refused, also in the middle of it."""
        async with self._ask(caller, "POST", path, body) as answer:
            pending = b""
            async for piece in answer.content.iter_any():
                pending += piece
                *whole, pending = pending.split(b"\n")
                for line in whole:
                    if (data := line.strip().removeprefix(b"data:").strip()) and line.startswith(b"data:"):
                        if data == b"[DONE]":
                            return
                        yield _event(data)

    async def model(self, caller: web.Request, name: str) -> JsonObject:
        """Return the entry of a model, also by its name with Ollama's tag `:latest`. Raises Refused."""
        try:
            return await self.get(caller, f"/v1/models/{name}")
        except Refused as refused:
            if refused.status != 404 or not name.endswith(_LATEST):  # noqa: PLR2004
                raise
        return await self.get(caller, f"/v1/models/{name.removesuffix(_LATEST)}")

    async def name_of(self, caller: web.Request, name: str) -> str:
        """Return the name by which the gateway knows a model. Raises Refused."""
        return text_at(await self.model(caller, name), "id") if name.endswith(_LATEST) else name

    @contextlib.asynccontextmanager
    async def _ask(
        self, caller: web.Request, method: str, path: str, body: Mapping[str, Any] | None
    ) -> AsyncGenerator[aiohttp.ClientResponse]:
        assert self._session  # noqa: S101 - it is open while requests are served
        headers = {name: caller.headers[name] for name in _PASSED if name in caller.headers}
        try:
            async with self._session.request(
                method, URL("http://localhost").with_path(path), json=body, headers=headers
            ) as answer:
                if answer.status >= _ERROR:
                    raise Refused(
                        _message(await answer.read()),
                        status=answer.status,
                        again_s=answer.headers.get("retry-after"),
                    )
                yield answer
        except (aiohttp.ClientError, OSError) as error:
            logger.warning("the gateway did not answer: %s", error)
            raise Refused("the gateway closed the connection before the answer was complete", status=502) from error


@web.middleware
async def serve_errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer errors, expected or not, in the shape of the translated APIs."""
    try:
        return await handler(request)
    except Refused as refused:
        headers = {"retry-after": refused.again_s} if refused.again_s else {}
        return web.json_response({"error": refused.says}, status=refused.status, headers=headers)
    except web.HTTPRequestEntityTooLarge:
        return web.json_response({"error": "the request body is larger than 32 MiB"}, status=413)
    except web.HTTPMethodNotAllowed as error:
        allowed = ", ".join(sorted(error.allowed_methods))
        says = f"this path takes {allowed} requests only"
        return web.json_response({"error": says}, status=405, headers={"allow": allowed})
    except web.HTTPNotFound:
        return web.json_response({"error": f"there is nothing at {request.path}"}, status=404)
    except asyncio.CancelledError:
        raise
    except Exception:
        logger.exception("a bug while a request was translated")
        return web.json_response({"error": "a bug in bateau's translator; its log has the details"}, status=500)


async def json_body(request: web.Request) -> JsonObject:
    """Return the JSON object in the body of a request. Raises Refused.

    A web page may send any other content type to another origin without being asked.
    """
    if "origin" in request.headers and request.content_type != "application/json":
        raise Refused("send the content type application/json", status=415)
    found = parsed(await request.read())
    if found is None:
        raise Refused("the request body could not be parsed as JSON, or is not an object")
    return found


def parsed(body: bytes) -> JsonObject | None:
    """Return the JSON object in a body; None if there is none."""
    try:
        found: Json = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    return found if is_object(found) else None


def text_field(body: Mapping[str, Json], *names: str) -> str:
    """Return the first text among some fields, which one of them has to have. Raises Refused."""
    found = next((value for name in names if isinstance(value := body.get(name), str) and value), None)
    if found is None:
        raise Refused(f"{names[0]} is required, as text")
    return found


def _event(data: bytes) -> JsonObject:
    event = _object(data)
    if "error" in event:
        raise Refused(_message(data), status=502)
    return event


def _object(body: bytes) -> JsonObject:
    found = parsed(body)
    if found is None:
        raise Refused("the gateway's answer could not be read", status=502)
    return found


def _message(body: bytes) -> str:
    """Return the message in the body of an error, in whatever shape it has."""
    found = parsed(body)
    if found is None:
        return body.decode(errors="replace")[:_MESSAGE_MAX] or "the gateway refused the request"
    error = found.get("error", found)
    return error if isinstance(error, str) else text_at(error, "message") or body.decode()[:_MESSAGE_MAX]
