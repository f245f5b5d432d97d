"""Connections through a SOCKS proxy, by the package aiohttp-socks.

Called by sources.redirect and sources.session.

Invariant: without the package the error names the variable, the proxy and the command that installs it. Held by
tests/sources/test_proxies.py.
"""

import importlib
from typing import TYPE_CHECKING, Any

from bateau.domain.errors import SourceError
from bateau.sources.proxy import Proxy

if TYPE_CHECKING:
    from aiohttp import BaseConnector


def connector(proxy: Proxy) -> "BaseConnector":
    """Return a connector of aiohttp that leads through `proxy`. Raises SourceError where the package is missing."""
    try:
        socks = _package()
    except ImportError as error:
        raise SourceError(
            f"{proxy.variable} names the SOCKS proxy {proxy.url}, which needs the package aiohttp-socks",
            hint="install it: pip install aiohttp-socks",
        ) from error
    kind = socks.ProxyType.SOCKS4 if proxy.scheme.startswith("socks4") else socks.ProxyType.SOCKS5
    return socks.ProxyConnector(
        host=proxy.host,
        port=proxy.port,
        proxy_type=kind,
        username=proxy.user,
        password=proxy.password,
        rdns=proxy.resolves_names,
    )


def is_unreachable(error: BaseException | None) -> bool:
    """Whether an exception says that no connection to the proxy could be made."""
    socks = _package()
    return isinstance(error, socks.ProxyConnectionError | socks.ProxyTimeoutError)


def is_refusal(error: BaseException | None) -> bool:
    """Whether an exception says that the proxy refused."""
    return isinstance(error, _package().ProxyError)


def _package() -> Any:
    return importlib.import_module("aiohttp_socks")
