"""Kubernetes' URL, IP and CIDR in CEL: `cidr("10.0.0.0/8").containsIP(spec.clusterIP)`.

Called by kit.cel_kubernetes. Source: "Kubernetes URL library", "IP address library" and "CIDR library", CEL in
Kubernetes: no zones, no IPv4-mapped IPv6, no leading zeros.

Invariant: nothing here looks up a name; every result depends on the text alone. Held by tests/kit/test_cel_network.py.
Refused: `string(ip)`. The library's own `string` cannot be extended to other types.
"""

import ipaddress
from collections.abc import Callable, Mapping
from typing import Final
from urllib.parse import SplitResult, parse_qs, quote, urlsplit

from bateau.kit.cel_function import Function

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Interface | ipaddress.IPv6Interface


def _taken(value: Mapping[str, object], key: str) -> str:
    if set(value) != {key}:
        raise ValueError(f"this is a map, not the result of {key[1:]}(…); wrap text in {key[1:]}(…)")
    return str(value[key])


def network_text(value: Mapping[str, object]) -> str | None:
    """Return the text of a URL, an IP or a CIDR, None for any other map."""
    text = next(iter(value.values()), None)
    return text if isinstance(text, str) and set(value) in ({"~url"}, {"~ip"}, {"~cidr"}) else None


def _url(text: str) -> SplitResult:
    found = urlsplit(text)
    if not text or any(each.isspace() or not each.isprintable() for each in text):
        raise ValueError(f"invalid URI for request: {text!r}")
    if not found.scheme and not text.startswith("/"):
        raise ValueError(f"URL parse error: {text!r} has neither a scheme nor a path from the root")
    found.port  # noqa: B018 - reading the port raises ValueError if it is not a number
    return found


def _of_url(read: Callable[[SplitResult], object]) -> Callable[[Mapping[str, object]], object]:
    return lambda value: read(_url(_taken(value, "~url")))


def _host(url: SplitResult) -> str:
    return url.netloc.rpartition("@")[2]


def _ip(text: str) -> Address:
    address = ipaddress.ip_address(text)
    if isinstance(address, ipaddress.IPv6Address) and (address.scope_id or address.ipv4_mapped):
        raise ValueError(f"IP address {text!r} has a zone or is an IPv4-mapped IPv6 address")
    return address


def _is_canonical(text: str) -> bool:
    return str(_ip(text)) == text


def _of_ip(read: Callable[[Address], object]) -> Callable[[Mapping[str, object]], object]:
    return lambda value: read(_ip(_taken(value, "~ip")))


def _link_local_multicast(address: Address) -> bool:
    networks = ipaddress.ip_network("224.0.0.0/24"), ipaddress.ip_network("ff02::/16")
    return any(address in network for network in networks if network.version == address.version)


def _global_unicast(address: Address) -> bool:
    # Like Go's netip: private addresses are global unicast, the broadcast address is not.
    broadcast = address == ipaddress.IPv4Address("255.255.255.255")
    apart = address.is_unspecified or address.is_loopback or address.is_multicast or address.is_link_local
    return not (apart or broadcast)


def _cidr(text: str) -> Network:
    prefix = text.partition("/")[2]
    if not prefix.isdecimal() or (len(prefix) > 1 and prefix.startswith("0")):
        raise ValueError(f"network address parse error: {text!r} needs /PREFIX")
    _ip(text.partition("/")[0])
    return ipaddress.ip_interface(text)


def _of_cidr(read: Callable[[Network], object]) -> Callable[[Mapping[str, object]], object]:
    return lambda value: read(_cidr(_taken(value, "~cidr")))


def _contains_ip(value: Mapping[str, object], other: Mapping[str, object] | str) -> bool:
    address = _ip(other if isinstance(other, str) else _taken(other, "~ip"))
    return address in _cidr(_taken(value, "~cidr")).network


def _contains_cidr(value: Mapping[str, object], other: Mapping[str, object] | str) -> bool:
    outer = _cidr(_taken(value, "~cidr")).network
    inner = _cidr(other if isinstance(other, str) else _taken(other, "~cidr")).network
    same = outer.version == inner.version
    return same and inner.network_address in outer and inner.prefixlen >= outer.prefixlen


def _parses(parse: Callable[[str], object]) -> Callable[[str], bool]:
    def answer(text: str) -> bool:
        try:
            parse(text)
        except ValueError:
            return False
        return True

    return answer


def _wrapped(key: str, parse: Callable[[str], object]) -> Callable[[str], Mapping[str, str]]:
    def answer(text: str) -> Mapping[str, str]:
        parsed = parse(text)
        return {key: text if key == "~url" else str(parsed)}

    return answer


NETWORK: Final = (
    Function("url", ("string",), "dyn", _wrapped("~url", _url)),
    Function("isURL", ("string",), "bool", _parses(_url)),
    Function("getScheme", ("map",), "string", _of_url(lambda url: url.scheme), member=True),
    Function("getHost", ("map",), "string", _of_url(_host), member=True),
    Function("getHostname", ("map",), "string", _of_url(lambda url: url.hostname or ""), member=True),
    Function("getPort", ("map",), "string", _of_url(lambda url: str(url.port or "")), member=True),
    Function(
        "getEscapedPath", ("map",), "string", _of_url(lambda url: quote(url.path, safe="/%:@!$&'()*+,;=~")), member=True
    ),
    Function(
        "getQuery", ("map",), "dyn", _of_url(lambda url: parse_qs(url.query, keep_blank_values=True)), member=True
    ),
    Function("ip", ("string",), "dyn", _wrapped("~ip", _ip)),
    Function("ip", ("map",), "dyn", _of_cidr(lambda cidr: {"~ip": str(cidr.ip)}), member=True),
    Function("isIP", ("string",), "bool", _parses(_ip)),
    Function("ip.isCanonical", ("string",), "bool", _is_canonical),
    Function("family", ("map",), "int", _of_ip(lambda ip: ip.version), member=True),
    Function("isUnspecified", ("map",), "bool", _of_ip(lambda ip: ip.is_unspecified), member=True),
    Function("isLoopback", ("map",), "bool", _of_ip(lambda ip: ip.is_loopback), member=True),
    Function("isLinkLocalMulticast", ("map",), "bool", _of_ip(_link_local_multicast), member=True),
    Function("isLinkLocalUnicast", ("map",), "bool", _of_ip(lambda ip: ip.is_link_local), member=True),
    Function("isGlobalUnicast", ("map",), "bool", _of_ip(_global_unicast), member=True),
    Function("cidr", ("string",), "dyn", _wrapped("~cidr", _cidr)),
    Function("isCIDR", ("string",), "bool", _parses(_cidr)),
    *(Function("containsIP", ("map", kind), "bool", _contains_ip, member=True) for kind in ("map", "string")),
    *(Function("containsCIDR", ("map", kind), "bool", _contains_cidr, member=True) for kind in ("map", "string")),
    Function("masked", ("map",), "dyn", _of_cidr(lambda cidr: {"~cidr": str(cidr.network)}), member=True),
    Function("prefixLength", ("map",), "int", _of_cidr(lambda cidr: cidr.network.prefixlen), member=True),
)
