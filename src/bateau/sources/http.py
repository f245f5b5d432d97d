"""How Bateau speaks HTTP to where models come from: sessions, and what a refusal means.

Called by download and the resolvers.

Invariant: plain http is spoken to this machine only; a message never holds a query or credentials, which may be secret.
"""

import asyncio
import base64
import concurrent.futures
import contextlib
import ipaddress
import re
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import unquote, urlsplit, urlunsplit

from bateau.domain.errors import SourceDenied, SourceError, SourceNotFound, SourceUnreachable

if TYPE_CHECKING:
    from aiohttp import ClientSession

CONNECT_TIMEOUT_S = 15.0
SILENCE_TIMEOUT_S = 30.0

_UNAUTHORIZED, _FORBIDDEN, _NOT_FOUND, _GONE, _TOO_MANY, _SERVER = 401, 403, 404, 410, 429, 500
_REQUEST_TIMEOUT = 408

_Result = TypeVar("_Result")


def session(*, connect_s: float = CONNECT_TIMEOUT_S, silence_s: float = SILENCE_TIMEOUT_S) -> "ClientSession":
    """Return a session with timeouts in seconds on connecting and on silence, and none on the whole."""
    from aiohttp import ClientSession, ClientTimeout

    return ClientSession(
        timeout=ClientTimeout(total=None, sock_connect=connect_s, sock_read=silence_s),
        headers={"User-Agent": "bateau", "Accept-Encoding": "identity"},
        auto_decompress=False,
        trust_env=True,  # the proxies of HTTPS_PROXY and its kin
    )


def is_loopback(host: str | None) -> bool:
    """Whether `host` is this machine.

    >>> is_loopback("127.0.0.1"), is_loopback("::1"), is_loopback("localhost"), is_loopback("example.org")
    (True, True, True, False)
    """
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host or "").is_loopback
    except ValueError:
        return False


def shown(url: str) -> str:
    """Return `url` without credentials, query and fragment; also where it is no URL at all.

    >>> shown("https://user:secret@example.org/a?token=b#c"), shown("pypi:https://user:secret@[x/a?token=b")
    ('https://example.org/a', 'pypi:https://[x/a')
    """
    # Credentials go first: a password may hold a `?` that should have been quoted.
    return re.split(r"[?#]", re.sub(r"//[^/]*@", "//", url), maxsplit=1)[0]


def without_credentials(url: str) -> tuple[str, dict[str, str]]:
    """Return `url` without user and password, and the header that carries them instead (RFC 7617).

    Raises SourceError where it is no URL.

    >>> without_credentials("https://u:p@example.org/a")
    ('https://example.org/a', {'Authorization': 'Basic dTpw'})
    """
    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise SourceError(f"{shown(url)} is no URL: {error}") from error
    user, _, host = parts.netloc.rpartition("@")
    if not user:
        return url, {}
    encoded = base64.b64encode(unquote(user).encode()).decode()
    return urlunsplit(parts._replace(netloc=host)), {"Authorization": f"Basic {encoded}"}


def refuse_plain_http(url: str) -> None:
    """Raise SourceError where `url` would carry a model over plain http from another machine."""
    parts = urlsplit(url)
    if parts.scheme == "http" and not is_loopback(parts.hostname):
        raise SourceError(
            f"{shown(url)} is plain http, which anyone on the way can change",
            hint="use https; http is for this machine's own addresses only",
        )


def not_trusted(host: str, *, says: str) -> SourceError:
    """Return what it means that nobody whom this machine trusts has signed the certificate of `host`."""
    return SourceError(
        f"{says}: the certificate of {host} is not trusted",
        hint="if your own authority signed it, set SSL_CERT_FILE to its certificates",
    )


def status_error(status: int, *, says: str, hint: str | None = None) -> SourceError | None:
    """Return what the status of an answer means, or None where it is good. `hint` is for refused credentials."""
    if status < _UNAUTHORIZED - 1:
        return None
    if status in {_UNAUTHORIZED, _FORBIDDEN}:
        return SourceDenied(f"{says}: access denied (HTTP {status})", hint=hint)
    if status in {_NOT_FOUND, _GONE}:
        return SourceNotFound(f"{says}: not found (HTTP {status})")
    if status in {_TOO_MANY, _REQUEST_TIMEOUT} or status >= _SERVER:
        return SourceUnreachable(f"{says}: the server cannot answer now (HTTP {status})")
    return SourceError(f"{says}: the server refuses (HTTP {status})")


async def in_daemon_thread(function: Callable[[], _Result]) -> _Result:
    """Run `function`, which waits for the network, in a thread that is left to itself when cancelled.

    A thread of the executor would hold up the end of the process until its timeout.
    """
    loop = asyncio.get_running_loop()
    future: asyncio.Future[_Result] = loop.create_future()

    def deliver(result: Callable[[], _Result]) -> None:
        if not future.done():
            try:
                future.set_result(result())
            except Exception as error:  # noqa: BLE001 - carried over to who awaits it
                future.set_exception(error)

    def run() -> None:
        done: concurrent.futures.Future[_Result] = concurrent.futures.Future()
        try:
            done.set_result(function())
        except Exception as error:  # noqa: BLE001 - carried over to who awaits it
            done.set_exception(error)
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(deliver, done.result)

    threading.Thread(target=run, daemon=True).start()
    return await future


async def in_thread(function: Callable[[], _Result], *, stop: Callable[[], None] | None = None) -> _Result:
    """Run `function` in a thread; when cancelled, wait until it has ended, so that it never outlives its files.

    What may take long gives `stop`, which makes it end soon.
    """
    task = asyncio.ensure_future(asyncio.to_thread(function))
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        if stop:
            stop()
        with contextlib.suppress(Exception):
            await task
        raise
