"""Connect through a SOCKS proxy with the package aiohttp-socks.

Called by sources.redirect and sources.session.

Invariant: if the package is missing, the error names the variable, the proxy and the command that installs it. Held by
tests/sources/test_proxies.py.
"""

import importlib
from typing import TYPE_CHECKING, Any

from bateau.domain.errors import SourceError
from bateau.sources.proxy import Proxy

if TYPE_CHECKING:
    from aiohttp import BaseConnector


def connector(proxy: Proxy) -> "BaseConnector":
    """Return an aiohttp connector through `proxy`. Raises SourceError if the package is missing."""
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
    """Whether an exception means that the proxy cannot be reached."""
    socks = _package()
    return isinstance(error, socks.ProxyConnectionError | socks.ProxyTimeoutError)


def is_refusal(error: BaseException | None) -> bool:
    """Whether an exception means that the proxy refused the connection."""
    return isinstance(error, _package().ProxyError)


def _package() -> Any:
    return importlib.import_module("aiohttp_socks")
