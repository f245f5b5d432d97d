"""HTTP for everything that fetches: one session, redirects, and failures as errors that people can read.

Called by the resolvers and by download.

Invariant: a secret goes to the host it belongs to, over TLS or loopback, and to no other: redirects to elsewhere are
followed without it. URLs in messages carry neither user nor password nor query.
Refused: aiohttp's own redirects; they re-quote signed URLs, and follow from https down to http.
"""

import ipaddress
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Any, Final, Self
from urllib.parse import urljoin, urlsplit, urlunsplit
from urllib.request import proxy_bypass_environment

import aiohttp
from yarl import URL

from bateau import __version__
from bateau.domain.errors import SourceDenied, SourceError, SourceNotFound, SourceUnreachable
from bateau.sources.patience import Patience

REDIRECTS_MAX: Final = 10
DOCUMENT_BYTES_MAX: Final = 16 << 20
_CA_VARIABLES: Final = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "PIP_CERT")
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})


class FetchInterrupted(SourceUnreachable):
    """The network failed in a way that another try may mend. `contacted`: the other side had answered."""

    def __init__(self, message: str, *, hint: str | None = None, contacted: bool) -> None:
        super().__init__(message, hint=hint)
        self.contacted = contacted


class Web:
    """An HTTP client for the length of one fetch."""

    def __init__(self, environ: Mapping[str, str], patience: Patience) -> None:
        self.environ = environ
        self.patience = patience
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(
                total=None, sock_connect=self.patience.connect_s, sock_read=self.patience.silence_s
            ),
            connector=aiohttp.TCPConnector(ssl=_tls(self.environ)),
            auto_decompress=False,
            headers={"User-Agent": f"bateau/{__version__}", "Accept-Encoding": "identity"},
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._session is not None:
            await self._session.close()

    @asynccontextmanager
    async def get(
        self, url: str, *, headers: Mapping[str, str] | None = None, authorization: str | None = None
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """Yield the answer at the end of all redirects, whatever its status.

        Raises FetchInterrupted where the network fails, also while the answer is read, and SourceError where a
        redirect leads nowhere good.
        """
        contacted = False
        try:
            target = URL(url)
            for _ in range(REDIRECTS_MAX + 1):
                async with self._request(target, headers=headers, authorization=authorization) as response:
                    contacted = True
                    location = response.headers.get("Location")
                    if response.status not in _REDIRECTS or location is None:
                        yield response
                        return
                target, authorization = _redirected(target, location, authorization)
            raise SourceError(f"{shown(url)} redirects more than {REDIRECTS_MAX} times")
        except (aiohttp.ClientError, TimeoutError) as error:
            raise _interrupted(error, url, contacted=contacted) from error

    async def document(
        self, url: str, *, headers: Mapping[str, str] | None = None, authorization: str | None = None
    ) -> tuple[int, Mapping[str, str], bytes]:
        """Return status, headers and body of a small answer."""
        async with self.get(url, headers=headers, authorization=authorization) as response:
            body = bytearray()
            async for chunk in response.content.iter_any():
                body += chunk
                if len(body) > DOCUMENT_BYTES_MAX:
                    raise SourceError(
                        f"{shown(url)} answered with more than {DOCUMENT_BYTES_MAX >> 20} MiB of metadata"
                    )
            return response.status, response.headers, bytes(body)

    def _request(self, target: URL, *, headers: Mapping[str, str] | None, authorization: str | None) -> Any:
        if self._session is None:
            raise AssertionError("Web is used outside of its `async with`")
        sent = dict(headers or {})
        if authorization is not None:
            sent["Authorization"] = authorization
        return self._session.get(target, headers=sent, allow_redirects=False, proxy=_proxy(target, self.environ))


def is_loopback(host: str | None) -> bool:
    """Say whether a host can only be this machine.

    >>> is_loopback("localhost"), is_loopback("127.0.0.2"), is_loopback("::1"), is_loopback("127.evil.example")
    (True, True, True, False)
    """
    if host is None:
        return False
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def shown(url: str) -> str:
    """Return a URL as it may stand in messages: without user, password, query and fragment.

    >>> shown("https://me:secret@host.example/m.gguf?signature=1#sha256=00")
    'https://host.example/m.gguf?…'
    """
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit((parts.scheme, host, parts.path, "…" if parts.query else "", ""))


def refusal(status: int, what: str, *, denied_hint: str | None = None) -> SourceError:
    """Turn an HTTP status that is no success into the error that says it. `what` was asked for."""
    says = f"{what}: the server answered {status} {_phrase(status)}".rstrip()
    if status in (401, 403, 407):
        return SourceDenied(says, hint=denied_hint)
    if status in (404, 410):
        return SourceNotFound(says, hint="check the spelling; some hosts also answer so where a login is missing")
    if status in (408, 425, 429) or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return FetchInterrupted(says, hint="try again later", contacted=True)
    return SourceError(says)


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return ""


def _redirected(source: URL, location: str, authorization: str | None) -> tuple[URL, str | None]:
    target = URL(urljoin(str(source), location), encoded=True)  # signed URLs must not be quoted anew
    if target.scheme not in ("http", "https"):
        raise SourceError(f"{shown(str(source))} redirects to a {target.scheme}: URL")
    if target.scheme == "http" and not is_loopback(target.host):
        raise SourceError(
            f"{shown(str(source))} redirects to {shown(str(target))}, without encryption",
            hint="use a source that stays on https",
        )
    # Only http -> https on the same host keeps the secret besides the very same origin (RFC 9110, 15.4).
    same = target.origin() == source.origin() or (target.host == source.host and target.scheme == "https")
    return target, authorization if same else None


def _interrupted(error: Exception, url: str, *, contacted: bool) -> SourceError:
    host = urlsplit(url).hostname
    if isinstance(error, aiohttp.ClientConnectorCertificateError | aiohttp.ClientConnectorSSLError):
        return SourceUnreachable(
            f"{host} shows a certificate that is not trusted here",
            hint="behind a proxy that opens TLS, set SSL_CERT_FILE to the bundle of certificates to trust",
        )
    if isinstance(error, aiohttp.InvalidURL):
        return SourceError(f"{shown(url)} is not a URL")
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return FetchInterrupted(f"{host}: no such host, or no network", contacted=contacted)
    if isinstance(error, TimeoutError):
        return FetchInterrupted(f"{host} did not answer in time", contacted=contacted)
    if isinstance(error, aiohttp.ClientConnectorError):
        return FetchInterrupted(f"{host} cannot be reached: {error.strerror or 'no connection'}", contacted=contacted)
    return FetchInterrupted(f"the connection to {host} was cut", contacted=contacted)


def _tls(environ: Mapping[str, str]) -> ssl.SSLContext | bool:
    for variable in _CA_VARIABLES:
        if bundle := environ.get(variable):
            try:
                return ssl.create_default_context(cafile=bundle)
            except OSError as error:
                raise SourceError(f"{variable} names {bundle}, which cannot be read as certificates") from error
    return True


def _proxy(target: URL, environ: Mapping[str, str]) -> str | None:
    """Return the proxy for a target, by the variables that curl and pip know."""
    names = {name.lower(): value for name, value in environ.items() if name.lower().endswith("_proxy") and value}
    settings = {"no": names["no_proxy"]} if "no_proxy" in names else {}
    if is_loopback(target.host) or proxy_bypass_environment(target.host or "", settings):
        return None
    return names.get(f"{target.scheme}_proxy") or names.get("all_proxy")
