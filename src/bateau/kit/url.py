"""Parse and check URLs and image references.

Called by control.reach, sources.issuer, specs.kinds.app, specs.kinds.key, specs.kinds.model, traffic.envoy.clusters and
wiring.issuers. Sources: RFC 3986; RFC 1123 for host names; the grammar of references in the OCI distribution project.

Invariant: every accepted URL has a host with a valid name or address, and a port in range. Held by
tests/kit/test_url.py.
Refused: urllib alone. It accepts `https:///v1`, and reports a port such as 99999 only when the port is read.
"""

import ipaddress
import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

PORT_MAX: Final = 65535
_SCHEME: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):")
_LABEL: Final = r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
_NAME: Final = re.compile(rf"{_LABEL}(?:\.{_LABEL})*\.?").fullmatch
_NAME_MAX: Final = 253
_IMAGE_PART: Final = re.compile(r"[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*").fullmatch
_IMAGE_TAG: Final = re.compile(r"\w[\w.-]{0,127}", re.ASCII).fullmatch
_IMAGE_DIGEST: Final = re.compile(r"[A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*:[0-9a-fA-F]{32,}").fullmatch
_IMAGE_NAME_MAX: Final = 255

Wrong = tuple[str, str]  # (error, fix)


class UrlError(ValueError):
    """The text is not a valid URL. `says` does not repeat the text, which may contain a password."""

    def __init__(self, says: str, hint: str) -> None:
        super().__init__(says)
        self.says = says
        self.hint = hint


@dataclass(frozen=True, slots=True, kw_only=True)
class Url:
    """The parts of a URL. `host` is without brackets; `port` is None if the URL has none."""

    scheme: str
    host: str
    port: int | None
    path: str
    query: str
    fragment: str
    has_credentials: bool

    @property
    def authority(self) -> str:
        """Host and port in the form of URLs and Host headers."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port is None else f"{host}:{self.port}"


def parsed(text: str, schemes: tuple[str, ...] = ("http", "https")) -> Url:
    """Return the parts of a URL with a host. Raises UrlError.

    >>> parsed("https://user:secret@API.example.org:8443/v1").authority
    'api.example.org:8443'
    """
    example = f"write a URL such as {schemes[-1]}://HOST/PATH"
    if any(each.isspace() or not each.isprintable() for each in text):
        raise UrlError("the URL contains a space or a control character", "remove it, or write it as %20")
    found = _SCHEME.match(text)
    if found is None or found[1].lower() not in schemes or not text[found.end() :].startswith("//"):
        raise UrlError(f"the URL does not begin with {' or '.join(f'{each}://' for each in schemes)}", example)
    authority = re.split(r"[/?#]", text[found.end() + 2 :], maxsplit=1)[0]
    credentials, _, place = authority.rpartition("@")
    host, port = _host_and_port(place, example)
    parts = urlsplit(f"//host{text[found.end() + 2 + len(authority) :]}")
    return Url(
        scheme=found[1].lower(),
        host=host,
        port=port,
        path=parts.path,
        query=parts.query,
        fragment=parts.fragment,
        has_credentials=bool(credentials),
    )


def _host_and_port(place: str, example: str) -> tuple[str, int | None]:
    """Return the host in lower case, without brackets, and the port. Raises UrlError."""
    if place.startswith("["):
        inner, closed, rest = place[1:].partition("]")
        if not closed:
            raise UrlError("the bracket around the IPv6 address of the URL is not closed", "write https://[::1]:8080/")
        try:
            host = str(ipaddress.IPv6Address(inner))
        except ValueError:
            raise UrlError(
                f"the host of the URL, [{inner}], is not an IPv6 address", "use ::1, without a zone"
            ) from None
        if rest and not rest.startswith(":"):
            raise UrlError(f"the URL has `{rest}` after its host", "separate the port with a colon")
        return host, _port(rest[1:]) if rest else None
    host, colon, port = place.partition(":")
    if not host:
        raise UrlError("the URL has no host", example)
    if colon and ":" in port:
        raise UrlError("the host of the URL has more than one colon", "write an IPv6 address in brackets: [::1]")
    if len(host) > _NAME_MAX or not _NAME(_ascii(host)):
        raise UrlError(f"the host of the URL, {host}, is neither a DNS name nor an IP address", example)
    if re.fullmatch(r"[\d.]+", host):
        try:
            ipaddress.IPv4Address(host)
        except ValueError:
            raise UrlError(
                f"the host of the URL, {host}, is not an IPv4 address", "write four numbers up to 255"
            ) from None
    return _ascii(host).lower(), _port(port) if colon else None


def _ascii(host: str) -> str:
    """Return an internationalised name in its ASCII form for DNS, or unchanged if it has none."""
    try:
        return host if host.isascii() else host.encode("idna").decode()
    except UnicodeError:
        return host


def _port(text: str) -> int:
    if not text:
        raise UrlError("the port of the URL is empty", f"write a number from 1 to {PORT_MAX}, or remove the colon")
    if not (text.isascii() and text.isdecimal()):
        raise UrlError(
            f"the port of the URL is `{text}`, which is not a number", f"write a number from 1 to {PORT_MAX}"
        )
    number = int(text[:6])
    if not 1 <= number <= PORT_MAX:
        raise UrlError(f"the port of the URL is {text}, which is out of range", f"use 1 to {PORT_MAX}")
    return number


def wrong_image(text: str) -> Wrong | None:
    """Return the error in a reference to a container image; None if it is valid.

    >>> wrong_image("registry.example:5000/team/shop:1.4@sha256:" + "0" * 64), wrong_image("Shop:1.4")
    (None, ('the image name `Shop` is not valid', 'use lower-case letters, digits and . _ - between them'))
    """
    rest, at, digest = text.partition("@")
    if at and not _IMAGE_DIGEST(digest):
        return f"the image digest `{digest}` is not valid", "write sha256: and 64 hexadecimal digits"
    first, slash, behind = rest.partition("/")
    if slash and (first == "localhost" or "." in first or ":" in first):
        try:
            _host_and_port(first, "write HOST[:PORT]/NAME[:TAG]")
        except UrlError as error:
            return error.says.replace("the URL", "the image's registry"), error.hint
        rest = behind
    name, colon, tag = rest.partition(":")
    if colon and not _IMAGE_TAG(tag):
        return f"the image tag `{tag}` is not valid", "use letters, digits and . _ -, at most 128"
    if not all(map(_IMAGE_PART, name.split("/"))):
        return f"the image name `{name}` is not valid", "use lower-case letters, digits and . _ - between them"
    return ("the image name is too long", f"use at most {_IMAGE_NAME_MAX}") if len(rest) > _IMAGE_NAME_MAX else None
