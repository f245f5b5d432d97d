"""Choose the proxy through which a URL is reached, from the environment.

Called by sources.redirect, sources.session and sources.socks. Every source follows the same rules.
Source: the manual of curl (HTTPS_PROXY, ALL_PROXY, NO_PROXY); Go, requests and httpx read the variables the same way.

Invariant: this machine is never reached through a proxy, and a message never contains the credentials of a proxy. Held
by tests/sources/test_proxies.py.
Refused: aiohttp's `trust_env`; it ignores ALL_PROXY, sends HTTP to a SOCKS proxy, and reads the environment of the
process.
"""

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import SplitResult, unquote, urlsplit

from bateau.domain.errors import SourceError
from bateau.sources.http import is_loopback, shown, without_credentials

HTTP_SCHEMES = frozenset({"http", "https"})
# The names of curl. With the `h` (or `a`), the proxy resolves the host name.
SOCKS_SCHEMES = frozenset({"socks4", "socks4a", "socks5", "socks5h"})
_DEFAULT_PORTS = {"http": 80, "https": 443}
_SOCKS_PORT = 1080


@dataclass(frozen=True, slots=True, kw_only=True)
class Proxy:
    """A proxy. `variable` is the environment variable that names it."""

    variable: str
    scheme: str
    host: str
    port: int
    user: str | None = field(default=None, repr=False)
    password: str | None = field(default=None, repr=False)

    @property
    def is_socks(self) -> bool:
        """Whether the proxy speaks SOCKS instead of HTTP."""
        return self.scheme in SOCKS_SCHEMES

    @property
    def resolves_names(self) -> bool:
        """Whether a SOCKS proxy gets host names instead of addresses."""
        return self.scheme in {"socks4a", "socks5h"}

    @property
    def url(self) -> str:
        """The proxy without credentials."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}"


def proxy_for(url: str, environ: Mapping[str, str]) -> Proxy | None:
    """Return the proxy for `url`, or None if it is reached directly. Raises SourceError for a malformed proxy.

    >>> proxy_for("https://example.org/a", {"HTTPS_PROXY": "http://proxy:3128", "NO_PROXY": "example.com"}).url
    'http://proxy:3128'
    >>> proxy_for("https://a.example.org/a", {"ALL_PROXY": "socks5h://proxy:1080", "no_proxy": "example.org"})
    """
    target = urlsplit(url)
    if is_loopback(target.hostname) or _is_exempt(target, _first(environ, "no_proxy")[1]):
        return None
    variable, value = _first(environ, f"{target.scheme}_proxy", "all_proxy")
    return _proxy(variable, value) if value else None


def _first(environ: Mapping[str, str], *names: str) -> tuple[str, str]:
    """Return the first variable with a value. Like curl, prefer lower case to upper case."""
    for name in names:
        for variable in (name, name.upper()):
            value = environ.get(variable, "").strip()
            if value:
                return variable, value
    return "", ""


def _proxy(variable: str, value: str) -> Proxy:
    url = value if "://" in value else f"http://{value}"
    try:
        bare, _ = without_credentials(url)
        parts, scheme = urlsplit(url), urlsplit(bare).scheme.lower()
        port = parts.port or _DEFAULT_PORTS.get(scheme, _SOCKS_PORT)
    except (ValueError, SourceError) as error:
        raise _malformed(variable, url) from error
    if scheme not in HTTP_SCHEMES | SOCKS_SCHEMES or not parts.hostname:
        raise _malformed(variable, url)
    return Proxy(
        variable=variable,
        scheme=scheme,
        host=parts.hostname,
        port=port,
        user=unquote(parts.username) if parts.username else None,
        password=unquote(parts.password) if parts.password else None,
    )


def _malformed(variable: str, url: str) -> SourceError:
    return SourceError(
        f"{variable} is set to {shown(url)}, which is not the URL of a proxy",
        hint="write http://HOST:PORT, https://HOST:PORT, socks5://HOST:PORT or socks5h://HOST:PORT",
    )


def _is_exempt(target: SplitResult, no_proxy: str) -> bool:
    host = (target.hostname or "").rstrip(".")
    port = target.port or _DEFAULT_PORTS.get(target.scheme)
    return any(_matches(entry, host, port) for entry in re.split(r"[,\s]+", no_proxy.lower()) if entry)


def _matches(entry: str, host: str, port: int | None) -> bool:
    """Whether an entry of NO_PROXY is `host`, a domain or a network that contains it, or `*`.

    >>> [_matches(entry, "a.example.org", 443) for entry in ("*", "example.org", ".example.org", "*.org", "ample.org")]
    [True, True, True, True, False]
    >>> [_matches(entry, "10.1.2.3", 443) for entry in ("10.0.0.0/8", "10.1.2.3:443", "10.1.2.3:80")]
    [True, True, False]
    """
    if entry == "*":
        return True
    wanted = re.fullmatch(r"(.*[^:]):(\d+)", entry)  # not the last group of a bare IPv6 address
    if wanted and (":" not in wanted[1] or wanted[1].endswith("]")):
        if int(wanted[2]) != port:
            return False
        entry = wanted[1]
    try:
        return ipaddress.ip_address(host) in ipaddress.ip_network(entry.strip("[]"), strict=False)
    except ValueError:
        domain = entry.removeprefix("*").strip(".")
        return host == domain or host.endswith(f".{domain}")
