"""The rules for the URLs of sources, and the errors for HTTP statuses.

Called by sources and wiring.

Invariant: plain HTTP is used on this machine only. A message never contains a query or credentials, as these may be
secret. Held by tests/sources/test_download.py and tests/sources/test_faults.py.
"""

import asyncio
import base64
import contextlib
import ipaddress
import re
from collections.abc import Callable, Mapping
from email.utils import parsedate_to_datetime
from typing import TypeVar
from urllib.parse import unquote, urlsplit, urlunsplit

from bateau.domain.errors import SourceDenied, SourceError, SourceNotFound, SourceUnreachable

CONNECT_TIMEOUT_S = 15.0
SILENCE_TIMEOUT_S = 30.0

_UNAUTHORIZED, _FORBIDDEN, _NOT_FOUND, _GONE, _TOO_MANY, _SERVER = 401, 403, 404, 410, 429, 500
_REQUEST_TIMEOUT = 408

_Result = TypeVar("_Result")


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
    """Return `url` without credentials, query and fragment, even if it is not a valid URL.

    >>> shown("https://user:secret@example.org/a?token=b#c"), shown("pypi:https://user:secret@[x/a?token=b")
    ('https://example.org/a', 'pypi:https://[x/a')
    """
    # Credentials are removed first, because a password may contain a `?` that should have been quoted.
    return re.split(r"[?#]", re.sub(r"//[^/]*@", "//", url), maxsplit=1)[0]


def without_credentials(url: str) -> tuple[str, dict[str, str]]:
    """Return `url` without user and password, and the header that carries them instead (RFC 7617).

    Raises SourceError if it is not a URL.

    >>> without_credentials("https://u:p@example.org/a")
    ('https://example.org/a', {'Authorization': 'Basic dTpw'})
    """
    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise SourceError(f"{shown(url)} is not a URL: {error}") from error
    user, _, host = parts.netloc.rpartition("@")
    if not user:
        return url, {}
    name, _, password = user.partition(":")
    authorization = basic_authorization(unquote(name), unquote(password))
    return urlunsplit(parts._replace(netloc=host)), {"Authorization": authorization}


def basic_authorization(user: str | None, password: str | None) -> str:
    """Return the value of an Authorization header (RFC 7617)."""
    pair = f"{user or ''}:{password or ''}"
    return f"Basic {base64.b64encode(pair.encode()).decode()}"


def refuse_plain_http(url: str) -> None:
    """Raise SourceError if `url` would transfer a model over plain HTTP from another machine."""
    parts = urlsplit(url)
    if parts.scheme == "http" and not is_loopback(parts.hostname):
        raise SourceError(
            f"{shown(url)} is plain http, so anyone on the network can change it",
            hint="use https; http is accepted from this machine's own addresses only",
        )


def not_trusted(host: str, *, says: str) -> SourceError:
    """Return the error for a certificate of `host` that this machine does not trust."""
    return SourceError(
        f"{says}: the certificate of {host} is not trusted",
        hint="if your own certificate authority signed it, set SSL_CERT_FILE to the file with its certificates",
    )


def status_error(
    status: int, *, says: str, hint: str | None = None, headers: Mapping[str, str] | None = None
) -> SourceError | None:
    """Return the error for an HTTP status, or None for a success. `hint` is for rejected credentials."""
    if status < _UNAUTHORIZED - 1:
        return None
    if status in {_UNAUTHORIZED, _FORBIDDEN}:
        return SourceDenied(f"{says}: access denied (HTTP {status})", hint=hint)
    if status in {_NOT_FOUND, _GONE}:
        return SourceNotFound(f"{says}: not found (HTTP {status})")
    if status in {_TOO_MANY, _REQUEST_TIMEOUT} or status >= _SERVER:
        return SourceUnreachable(
            f"{says}: the server cannot answer now (HTTP {status})", retry_after_s=_retry_after_s(headers or {})
        )
    return SourceError(f"{says}: the server rejects the request (HTTP {status})")


def _retry_after_s(headers: Mapping[str, str]) -> float | None:
    """Return the seconds after which the server asks to retry, or None if it does not say.

    Sources: RFC 9110, 10.2.3, and the RateLimit header of Hugging Face (draft-ietf-httpapi-ratelimit-headers).

    >>> _retry_after_s({"Retry-After": "2"}), _retry_after_s({"RateLimit": '"api";r=0;t=55'}), _retry_after_s({})
    (2.0, 55.0, None)
    """
    asked = headers.get("Retry-After", "").strip()
    if asked.isdecimal():
        return float(asked)
    # A date counts from the server's own clock, which may differ from the local one.
    with contextlib.suppress(ValueError):
        left = parsedate_to_datetime(asked) - parsedate_to_datetime(headers.get("Date", ""))
        return max(left.total_seconds(), 0.0)
    limit = re.search(r";\s*r\s*=\s*0\s*;\s*t\s*=\s*(\d+)", headers.get("RateLimit", ""))
    return float(limit[1]) if limit else None


async def in_thread(function: Callable[[], _Result], *, stop: Callable[[], None] | None = None) -> _Result:
    """Run `function` in a thread. When cancelled, wait until it has ended, so that it never outlives its files.

    `stop` is for a function that may run long: it is called on cancellation, and should make the function end soon.
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
