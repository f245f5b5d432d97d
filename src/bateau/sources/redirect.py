"""Request a URL, follow its redirects safely, and turn a missing answer into an error.

Called by sources.download, sources.hugging_face and sources.page. Source: RFC 9110, 15.4.

Invariant: no request goes to plain HTTP on another machine, and credentials go to their own origin only. A URL that is
encoded correctly is sent unchanged, because signatures cover its bytes. Held by tests/sources/test_faults.py and
tests/sources/test_download.py.
Refused: the redirects of aiohttp; it sends the request before the target can be checked.
"""

import os
import re
import ssl
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, cast

from bateau.domain.errors import SourceDenied, SourceError, SourceUnreachable
from bateau.sources import socks
from bateau.sources.http import not_trusted, refuse_plain_http, shown, without_credentials
from bateau.sources.patience import NobodyThere
from bateau.sources.proxy import Proxy
from bateau.sources.session import Session

if TYPE_CHECKING:
    from aiohttp import ClientResponse
    from yarl import URL

REDIRECTS_MAX = 10
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_PROXY_DENIED = 407
_WRITTEN_CORRECTLY = re.compile(r"(?:[!-$&-~]|%[0-9A-Fa-f]{2})+")


@asynccontextmanager
async def answer(
    http: Session,
    url: str,
    *,
    says: str,
    headers: Mapping[str, str],
    params: Mapping[str, str] | None = None,
    head_of_origin: bool = False,
) -> "AsyncGenerator[ClientResponse]":
    """Yield the answer to GET `url`, with `params` added to its query, after all redirects.

    `head_of_origin` sends HEAD instead, and yields a redirect to another origin without following it. `says` is the
    name of the resource in messages. Raises SourceError for redirects that cannot be followed, and SourceUnreachable,
    also from within the block, if the answer is missing or incomplete.
    """
    target = _url(url)
    if params:
        target = target.update_query(params)
    headers = dict(headers)
    for _ in range(REDIRECTS_MAX + 1):
        refuse_plain_http(str(target))
        proxy = http.proxy(target)
        try:
            async with http.request("HEAD" if head_of_origin else "GET", target, headers=headers) as response:
                location = response.headers.get("Location")
                if response.status not in _REDIRECTS or not location:
                    yield response
                    return
                here, (target, headers) = target, _next(target, location, headers)
                if head_of_origin and target.origin() != here.origin():
                    yield response
                    return
        except Exception as error:
            meaning = _no_answer(error, says=says, host=target.host or "", proxy=proxy)
            if meaning is None:
                raise
            raise meaning from error
    raise SourceError(f"{shown(url)} redirects more than {REDIRECTS_MAX} times")


@asynccontextmanager
async def sent(
    http: Session, method: str, url: str, *, says: str, headers: Mapping[str, str], data: bytes
) -> "AsyncGenerator[ClientResponse]":
    """Yield the answer to a request that writes `data`. A redirect is not followed. Raises like `answer`."""
    target = _url(url)
    refuse_plain_http(str(target))
    try:
        async with http.request(method, target, headers=headers, data=data) as response:
            yield response
    except Exception as error:
        meaning = _no_answer(error, says=says, host=target.host or "", proxy=http.proxy(target))
        if meaning is None:
            raise
        raise meaning from error


def _next(target: "URL", location: str, headers: dict[str, str]) -> tuple["URL", dict[str, str]]:
    bare, own = without_credentials(location)
    after = target.join(_url(bare))
    if after.scheme not in {"http", "https"} or not after.host:
        raise SourceError(f"{shown(str(target))} redirects to {shown(str(after))}, which is not an http URL")
    if after.origin() != target.origin():
        headers = {name: value for name, value in headers.items() if name.lower() != "authorization"}
    return after, headers | own


def _url(text: str) -> "URL":
    from yarl import URL

    try:
        url = URL(text, encoded=_WRITTEN_CORRECTLY.fullmatch(text) is not None)
        _ = url.host, url.port  # yarl checks these parts of an encoded URL only when they are used
    except ValueError as error:
        raise SourceError(f"{shown(text)} is not a URL: {error}") from error
    return url


def _no_answer(error: Exception, *, says: str, host: str, proxy: Proxy | None) -> SourceError | None:
    """Return the error for an exception of a request; None for other exceptions, such as errors of the local disk."""
    from aiohttp import ClientConnectorCertificateError, ClientConnectorError, ClientError

    if isinstance(error, SourceError):
        return None
    if isinstance(error, ClientConnectorCertificateError | ssl.SSLCertVerificationError):
        return not_trusted(host, says=says)
    if proxy and (meaning := _by_proxy(error, proxy, says=says)):
        return meaning
    if isinstance(error, ClientConnectorError):
        return NobodyThere(f"{says} cannot be reached: {_reason(error.os_error)}")
    if isinstance(error, TimeoutError):
        return SourceUnreachable(f"{says}: no answer in time")
    if isinstance(error, ClientError):
        return SourceUnreachable(f"{says}: the answer is incomplete ({_reason(error)})")
    return None


def _by_proxy(error: Exception, proxy: Proxy, *, says: str) -> SourceError | None:
    """Return the error for an exception that concerns the proxy itself, or None."""
    from aiohttp import ClientHttpProxyError, ClientProxyConnectionError

    if isinstance(error, ClientHttpProxyError):
        return _refused_by(proxy, f"HTTP {error.status}", says=says, denied=error.status == _PROXY_DENIED)
    if isinstance(error, ClientProxyConnectionError):
        return _unreachable(proxy, _reason(error.os_error), says=says)
    return _by_socks(error, proxy, says=says) if proxy.is_socks else None


def _by_socks(error: Exception, proxy: Proxy, *, says: str) -> SourceError | None:
    causes = (error, error.__cause__, error.__context__)
    if any(map(socks.is_unreachable, causes)):
        return _unreachable(proxy, "no connection", says=says)
    refusal = next(filter(socks.is_refusal, causes), None)
    if refusal is None:
        return None
    return _refused_by(proxy, str(refusal), says=says, denied="auth" in str(refusal).lower())


def _unreachable(proxy: Proxy, reason: str, *, says: str) -> SourceError:
    return NobodyThere(
        f"{says}: the proxy {proxy.url} cannot be reached: {reason}",
        hint=f"{proxy.variable} names it; NO_PROXY exempts hosts from it",
    )


def _refused_by(proxy: Proxy, reason: str, *, says: str, denied: bool) -> SourceError:
    if denied:
        return SourceDenied(
            f"{says}: the proxy {proxy.url} rejects the credentials ({reason})",
            hint=f"set {proxy.variable} to {proxy.scheme}://USER:PASSWORD@{proxy.host}:{proxy.port}",
        )
    return NobodyThere(
        f"{says}: the proxy {proxy.url} refuses to connect ({reason})",
        hint=f"{proxy.variable} names it; NO_PROXY exempts hosts from it",
    )


def _reason(error: Exception) -> str:
    """Return a short reason without URLs: some errors of aiohttp contain the whole URL, whose query may be secret."""
    if isinstance(error, OSError) and error.errno and error.errno > 0:
        return os.strerror(error.errno)
    text = cast("str", getattr(error, "strerror", None) or str(error))
    return text if text and "://" not in text else type(error).__name__
