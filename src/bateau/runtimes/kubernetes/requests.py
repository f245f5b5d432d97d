"""Send requests to an API server: connections, credentials, retries, and errors in words.

Called by runtimes.kubernetes and wiring.pod_logs. This module and api.py beside it are all that knows HTTP.

Invariant: a request is sent again only if sending it twice means the same as once, and not before the server's own
Retry-After. Held by tests/runtimes/kubernetes/test_api.py.
Refused: a client library. kr8s and lightkube bring a second HTTP stack and a model of every kind; a list, a watch and a
patch are enough here, and objects stay plain trees.
"""

import asyncio
import os
import random
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Literal

import aiohttp
import orjson

from bateau.domain.errors import ClusterDenied, ClusterError, ClusterUnreachable, ObjectRefused
from bateau.domain.system_names import AGGREGATE, CONTROLLER
from bateau.kit.json_value import Json, JsonObject, is_object, text_at
from bateau.runtimes.kubernetes.credentials import Credentials
from bateau.runtimes.kubernetes.kubeconfig import Access
from bateau.runtimes.kubernetes.reach import Reach, kept_alive
from bateau.runtimes.kubernetes.refusals import refusal, webhook_words
from bateau.runtimes.kubernetes.tls import tls_of

Method = Literal["GET", "PATCH", "POST", "PUT", "DELETE"]

REQUEST_S = 60.0
CONNECT_S = 10.0
_TRIES = 5
_FIRST_PAUSE_S = 0.25
_PAUSE_MAX_S = 10.0
# A server that wants to be left alone for longer gets no second request within the same call.
_RETRY_AFTER_MAX_S = 30.0
_UNAUTHORIZED, _FORBIDDEN, _NOT_FOUND, _GONE, _TOO_MANY = 401, 403, 404, 410, 429
_SERVER_ERRORS = range(500, 600)
_NOBODY = range(502, 505)  # the answers of a load balancer whose API servers are away
_ERRORS = 400  # and above
_INTERNAL = 500
_UNTYPED = b"failed to create typed patch object"
_AGENT = "bateau"


class Gone(ClusterError):  # noqa: N818 - the name of the HTTP status
    """The API server no longer knows the resource version: list again (410, KEP-365)."""


class Overloaded(ClusterUnreachable):
    """The API server answers a watch with 429 or 5xx, and wants none for `after_s` seconds."""

    def __init__(self, message: str, *, after_s: float) -> None:
        super().__init__(message)
        self.after_s = after_s


class Forbidden(ClusterDenied):
    """The account lacks a right; other requests may succeed (403)."""


class NotFound(ObjectRefused):
    """The object, or its kind, does not exist."""


class Requests:
    """A pool of connections to one API server. `reach` notes whether it answers."""

    def __init__(self, access: Access, *, environ: Mapping[str, str] = os.environ, reach: Reach | None = None) -> None:
        self.access = access
        self.reach = reach or Reach()
        self._credentials = Credentials(access, environ=environ)
        self._session: aiohttp.ClientSession | None = None
        self._certificate: tuple[bytes, bytes] | None = None  # of the session
        self._authorities: bytes | None = None  # of the session
        self._former: list[aiohttp.ClientSession] = []  # with a former certificate; requests may still use the last one
        self._opening = asyncio.Lock()
        self._clock: tuple[datetime, float] | None = None  # the server's time, and the own monotonic clock at it
        self.sent = 0

    def now(self) -> datetime:
        """Return the time by the clock of the API server, to the second; by the own one before the first answer.

        For times that others read beside those of the API server: the own clock may be hours off.
        """
        if self._clock is None:
            return datetime.now(tz=UTC)
        told, at = self._clock
        return told + timedelta(seconds=time.monotonic() - at)

    async def close(self) -> None:
        """Close all connections."""
        for session in (*self._former, *([self._session] if self._session else [])):
            await session.close()
        self._session, self._former = None, []

    async def json(
        self,
        method: Method,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Json | bytes = None,
        form: str = "",
    ) -> JsonObject:
        """Return the object that `answer` returns. Raises its errors."""
        _, tree = await self.answer(method, path, query=query, body=body, form=form)
        return tree

    async def answer(
        self,
        method: Method,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Json | bytes = None,
        form: str = "",
    ) -> tuple[int, JsonObject]:
        """Send a request, and return the status and the object of the answer.

        `form` is the content type of `body`. Connections that break, 429 and 5xx are tried again, five times in all.
        Raises ClusterUnreachable, ClusterDenied, Gone, NotFound and ObjectRefused.
        """
        failure: ClusterError = ClusterUnreachable(f"{self.access.name} gave no answer")
        doubted = False
        for attempt in range(_TRIES):
            generation = self._credentials.generation
            try:
                async with self._answer(method, path, query, body, form) as response:
                    text = await response.read()
                    if response.status >= _ERRORS and (refused := refusal(response.status, _tree(text))):
                        raise refused
                    if response.status == _UNAUTHORIZED and not doubted and self._renew(generation):
                        doubted = True
                        continue
                    if _is_final(response.status, text):
                        return response.status, self._told(response.status, text, path)
                    failure = self._failure(response.status, _tree(text))
                    pause = _retry_after_s(response) or _pause_s(attempt)
            except ClusterUnreachable as error:
                failure, pause = error, _pause_s(attempt)
                if method == "POST" and not isinstance(error.__cause__, aiohttp.ClientConnectorError):
                    break  # the server may have done it
            if attempt == _TRIES - 1 or pause > _RETRY_AFTER_MAX_S:
                break
            await asyncio.sleep(pause)
        raise failure

    async def lines(
        self, path: str, query: Mapping[str, str], *, silence_s: float, opened: Callable[[], None]
    ) -> AsyncIterator[JsonObject]:
        """Yield the objects of a watch until the server ends it. Not tried again. `opened` is called when it begins.

        A line that is cut off at the end is left out: the next watch brings its event again. Raises ClusterUnreachable
        after `silence_s` seconds without a byte, and the errors of `json`.
        """
        generation = self._credentials.generation
        async with self._answer("GET", path, query, None, "", silence_s=silence_s) as response:
            if response.status >= _ERRORS:
                text = await response.read()
                if response.status == _UNAUTHORIZED and self._renew(generation):
                    return  # the next watch has new credentials
                if not _is_final(response.status, text):
                    says = f"{self.access.name}: {_says(response.status, _tree(text))}"
                    raise Overloaded(says, after_s=_retry_after_s(response) or 0.0)
                self._told(response.status, text, path)
            opened()
            rest = b""
            try:
                async for chunk in response.content.iter_any():
                    *whole, rest = (rest + chunk).split(b"\n")
                    for line in whole:
                        if line and is_object(tree := _tree(line)):
                            yield tree
            except (aiohttp.ClientError, TimeoutError) as error:
                raise ClusterUnreachable(f"{self.access.name}: the watch of {path} broke: {_cause(error)}") from error

    async def text(self, path: str, query: Mapping[str, str]) -> str:
        """Return an answer that is plain text, such as a log. Raises the errors of `json`."""
        async with self._answer("GET", path, query, None, "") as response:
            read = await response.read()
            if response.status >= _ERRORS:
                self._told(response.status, read, path)
            return read.decode("utf-8", "replace")

    async def chunks(self, path: str, query: Mapping[str, str], *, silence_s: float) -> AsyncGenerator[bytes]:
        """Yield an answer as it comes, until it ends, breaks, or is silent for so long. Raises the errors of `json`."""
        async with self._answer("GET", path, query, None, "", silence_s=silence_s) as response:
            if response.status >= _ERRORS:
                self._told(response.status, await response.read(), path)
            with suppress(aiohttp.ClientError, TimeoutError):
                async for chunk in response.content.iter_any():
                    yield chunk

    @asynccontextmanager
    async def websocket(
        self, path: str, query: Mapping[str, str], *, protocol: str
    ) -> AsyncGenerator[aiohttp.ClientWebSocketResponse]:
        """Open a WebSocket for the length of a block. Raises ClusterUnreachable, and the errors of `json`."""
        session = await self._open()
        # The API server refuses the one of the session here: the answer is a stream.
        headers = {**await self._credentials.headers(), "Accept": "*/*"}
        self.sent += 1
        try:
            opened = await session.ws_connect(
                self.access.server + path,
                params=query,
                headers=headers,
                protocols=(protocol,),
                proxy=self.access.proxy,
                server_hostname=self.access.server_name,
                max_msg_size=0,
            )
        except aiohttp.WSServerHandshakeError as error:
            self._told(error.status, b"", path)
            raise ClusterUnreachable(f"{self.access.name} opened no WebSocket: {error.message}") from error
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            says = f"cannot reach {self.access.name} at {self.access.server}: {_cause(error)}"
            raise ClusterUnreachable(says, hint=_hint(error)) from error
        async with opened:
            yield opened

    @asynccontextmanager
    async def _answer(
        self,
        method: Method,
        path: str,
        query: Mapping[str, str] | None,
        body: Json | bytes,
        form: str,
        *,
        silence_s: float | None = None,
    ) -> AsyncGenerator[aiohttp.ClientResponse]:
        session = await self._open()
        headers = await self._credentials.headers()
        if form:
            headers["Content-Type"] = form
        if silence_s is None:
            timeout = aiohttp.ClientTimeout(total=REQUEST_S, connect=CONNECT_S)
        else:
            timeout = aiohttp.ClientTimeout(total=None, connect=CONNECT_S, sock_read=silence_s)
        self.sent += 1
        try:
            response = await session.request(
                method,
                self.access.server + path,
                params=query,
                data=body if body is None or isinstance(body, bytes) else orjson.dumps(body),
                headers=headers,
                timeout=timeout,
                proxy=self.access.proxy,
                server_hostname=self.access.server_name,
            )
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            if isinstance(error, aiohttp.ClientConnectorCertificateError):
                self._credentials.doubt_authorities()  # they may have been replaced since they were read
            says = f"cannot reach {self.access.name} at {self.access.server}: {_cause(error)}"
            self.reach.failed(says)
            raise ClusterUnreachable(says, hint=_hint(error)) from error
        if response.status not in _NOBODY:
            self.reach.answered()
        self._note_time(response)
        try:
            yield response
        except (aiohttp.ClientPayloadError, aiohttp.ServerDisconnectedError) as error:
            raise ClusterUnreachable(f"{self.access.name} cut an answer off: {_cause(error)}") from error
        finally:
            response.close() if silence_s is not None else response.release()

    def _note_time(self, response: aiohttp.ClientResponse) -> None:
        try:
            told = parsedate_to_datetime(response.headers.get("Date", ""))
        except ValueError:
            return  # a proxy has left it out
        self._clock = told.astimezone(UTC), time.monotonic()

    def _renew(self, generation: int) -> bool:
        """Forget refused credentials of a generation. Returns whether newer ones can be had."""
        return self._credentials.doubt(generation)

    async def _open(self) -> aiohttp.ClientSession:
        """Return a session with the present client certificate and certificate authorities."""
        async with self._opening:
            certificate = await self._credentials.client_certificate()
            authorities = self._credentials.authorities()
            if self._session is not None and (certificate, authorities) != (self._certificate, self._authorities):
                for each in self._former:
                    await each.close()
                self._former, self._session = [self._session], None
            if self._session is None:
                # Watches hold a connection each; the callers limit the other requests.
                connector = aiohttp.TCPConnector(
                    limit=0,
                    ssl=tls_of(self.access, certificate, authorities, doubt=self._credentials.doubt_authorities),
                    keepalive_timeout=30.0,
                    ttl_dns_cache=60,
                    socket_factory=kept_alive,
                )
                self._certificate, self._authorities = certificate, authorities
                self._session = aiohttp.ClientSession(
                    connector=connector, headers={"User-Agent": _AGENT, "Accept": "application/json"}
                )
            return self._session

    def _failure(self, status: int, tree: Json) -> ClusterError:
        """Return the error for an answer that was the same each time: of the object, such as of its webhook, or not."""
        says = _says(status, tree)
        if status == _INTERNAL and text_at(tree, "reason") == "InternalError":
            return ObjectRefused(says, reason="InternalError", code=status)
        return ClusterUnreachable(f"{self.access.name}: {says}")

    def _told(self, status: int, text: bytes, path: str) -> JsonObject:
        tree = _tree(text)
        if status < _ERRORS:
            if is_object(tree):
                return tree
            raise ClusterUnreachable(f"{self.access.name} answered {path} with something that is not JSON")
        says = _says(status, tree)
        reason = text_at(tree, "reason")
        if status == _UNAUTHORIZED:
            raise ClusterDenied(
                f"{self.access.name} does not accept the credentials", hint="log in again, or choose another context"
            )
        if status == _GONE:
            raise Gone(f"{self.access.name}: {says}")
        if status == _FORBIDDEN and _is_rbac(says):
            raise Forbidden(f"{self.access.name}: {says}", hint=_grant(says))
        made = NotFound if status == _NOT_FOUND else ObjectRefused
        raise made(says, reason=reason or str(status), code=status)


def _is_final(status: int, text: bytes) -> bool:
    """Whether the same request would get the same answer.

    If an applied object has a field outside its schema, the API server answers 500.
    """
    return (status != _TOO_MANY and status not in _SERVER_ERRORS) or _UNTYPED in text


def _tree(text: bytes) -> Json:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return None


def _says(status: int, tree: Json) -> str:
    says = webhook_words(text_at(tree, "message"))
    return says or text_at(tree, "reason") or f"the API server answered {status}"


def _is_rbac(says: str) -> bool:
    """Whether the account lacks a right; quotas and admission policies answer with the same status."""
    return "cannot " in says and 'User "' in says


def _grant(says: str) -> str:
    """Return how the right is granted that an account lacks."""
    if f':{CONTROLLER}"' not in says:
        return "ask for a role with this right"
    return f"grant it to the controller with a ClusterRole that has the label {AGGREGATE}=true"


def _retry_after_s(response: aiohttp.ClientResponse) -> float | None:
    told = response.headers.get("Retry-After", "")
    return float(told) if told.isdecimal() else None


def _pause_s(attempt: int) -> float:
    """Return the pause after a failed attempt, from 0, in seconds: doubled each time, and spread by half."""
    return min(_FIRST_PAUSE_S * 2**attempt, _PAUSE_MAX_S) * random.uniform(0.5, 1.0)  # noqa: S311 - no secret


def _cause(error: BaseException) -> str:
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return f"its certificate is not trusted: {error.certificate_error}"
    if isinstance(error, aiohttp.ClientConnectorError):
        return error.os_error.strerror or str(error.os_error)
    return str(error) or type(error).__name__


def _hint(error: BaseException) -> str | None:
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return "check certificate-authority in the kubeconfig"
    return None
