"""Make the HTTP requests of all sources, with one client, one set of timeouts, and the proxies of the environment.

Called by sources. Asks proxy for the proxy of a host.

Invariant: every source reaches the network through this module, with the same proxies, certificates and timeouts. Held
by tests/sources/test_proxies.py and tests/sources/test_authorities.py.
Refused: huggingface_hub and pypi-simple; they bring two more HTTP stacks (httpx, requests), each with its own proxies,
trusted certificates and retries.
"""

from collections.abc import AsyncGenerator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from io import BytesIO
from types import TracebackType
from typing import TYPE_CHECKING, Self

from bateau.sources.http import CONNECT_TIMEOUT_S, SILENCE_TIMEOUT_S, basic_authorization
from bateau.sources.proxy import Proxy, proxy_for
from bateau.sources.settings import Settings
from bateau.sources.socks import connector

if TYPE_CHECKING:
    import ssl

    from aiohttp import ClientResponse, ClientSession
    from yarl import URL


class Session:
    """An asynchronous context manager that makes requests. Timeouts are in seconds; a whole request has none.

    Servers are trusted by the certificates of the platform, or by those of `trusted`.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        connect_s: float = CONNECT_TIMEOUT_S,
        silence_s: float = SILENCE_TIMEOUT_S,
        trusted: "ssl.SSLContext | None" = None,
    ) -> None:
        self._settings = settings
        self._connect_s = connect_s
        self._silence_s = silence_s
        self._trusted = trusted or True
        self._clients: dict[Proxy | None, ClientSession] = {}
        self._open = AsyncExitStack()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._open.__aexit__(kind, error, trace)

    def proxy(self, url: "URL") -> Proxy | None:
        """Return the proxy through which `url` is reached. Raises SourceError for a malformed one."""
        return proxy_for(str(url), self._settings.environ)

    @asynccontextmanager
    async def request(
        self, method: str, url: "URL", *, headers: Mapping[str, str], data: bytes | None = None
    ) -> "AsyncGenerator[ClientResponse]":
        """Yield the answer to one request. Redirects are not followed. Raises SourceError and the errors of aiohttp."""
        proxy = self.proxy(url)
        body = None if data is None else BytesIO(data)  # aiohttp sends a stream in parts
        if proxy is None or proxy.is_socks:
            client = await self._client(proxy)
            request = client.request(method, url, headers=headers, data=body, allow_redirects=False, ssl=self._trusted)
        else:
            client = await self._client(None)
            authorization = {"Proxy-Authorization": basic_authorization(proxy.user, proxy.password)}
            request = client.request(
                method,
                url,
                headers=headers,
                data=body,
                allow_redirects=False,
                ssl=self._trusted,
                proxy=proxy.url,
                proxy_headers=authorization if proxy.user else None,
            )
        async with request as response:
            yield response

    async def _client(self, proxy: Proxy | None) -> "ClientSession":
        """Return the client for one SOCKS proxy, or the client for direct connections and HTTP proxies."""
        from aiohttp import ClientSession, ClientTimeout

        if proxy not in self._clients:
            client = ClientSession(
                connector=connector(proxy) if proxy else None,
                timeout=ClientTimeout(total=None, sock_connect=self._connect_s, sock_read=self._silence_s),
                headers={"User-Agent": "bateau", "Accept-Encoding": "identity"},
                auto_decompress=False,
            )
            self._clients[proxy] = await self._open.enter_async_context(client)
        return self._clients[proxy]
