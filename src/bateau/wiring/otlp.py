"""Where spans go, by the environment variables that OpenTelemetry defines for every program.

Called by wiring.local.
Source: "OpenTelemetry Protocol Exporter" (OTEL_EXPORTER_OTLP_*) and "General SDK Configuration" of its specification.

Refused: options of `bateau up`. Platforms set these variables for all of their programs, and a header may be a secret,
which must not be in the arguments of a process.
"""

import re
import socket
from collections.abc import Callable, Mapping
from typing import Final
from urllib.parse import unquote, urlsplit

from bateau import __version__
from bateau.domain.errors import ControlError, SourceError
from bateau.observe.otlp import Collector
from bateau.sources.http import shown, without_credentials

_ENDPOINT: Final = "OTEL_EXPORTER_OTLP_ENDPOINT"
_TRACES_ENDPOINT: Final = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"
_HEADERS: Final = ("OTEL_EXPORTER_OTLP_HEADERS", "OTEL_EXPORTER_OTLP_TRACES_HEADERS")
_PROTOCOL: Final = "OTEL_EXPORTER_OTLP_PROTOCOL"
_TRACES_PROTOCOL: Final = "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL"
_OURS: Final = "http/protobuf"
_PATH: Final = "/v1/traces"
_NAME: Final = re.compile("[!#$%&'*+.^_`|~0-9a-z-]+")


def collector_of(instance: str, environ: Mapping[str, str], secret: Callable[[str], str | None]) -> Collector | None:
    """Return where spans go, None if no address is set. Raises ControlError if it cannot be used.

    Headers are looked up with `secret`, so that no replica inherits them.
    """
    headers = {name: secret(name) or "" for name in _HEADERS}
    if environ.get("OTEL_SDK_DISABLED", "").lower() == "true" or environ.get("OTEL_TRACES_EXPORTER") == "none":
        return None
    name = _TRACES_ENDPOINT if environ.get(_TRACES_ENDPOINT) else _ENDPOINT
    url = environ.get(name, "")
    if not url:
        return None
    _check_protocol(environ)
    if name == _ENDPOINT:
        url = url.rstrip("/") + _PATH
    try:
        parts = urlsplit(url)
        usable = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
        url, credentials = without_credentials(url)
    except (ValueError, SourceError):
        usable, credentials = False, {}
    if not usable:
        raise ControlError(
            f"{name} is not an address of a collector: {shown(url)}", hint="write it as http://127.0.0.1:4318"
        )
    return Collector(
        url=url, shown=shown(url), headers={**credentials, **_headers(headers)}, resource=_resource(instance, environ)
    )


def _check_protocol(environ: Mapping[str, str]) -> None:
    name = _TRACES_PROTOCOL if environ.get(_TRACES_PROTOCOL) else _PROTOCOL
    protocol = environ.get(name) or _OURS
    if protocol != _OURS:
        raise ControlError(
            f"{name} is {protocol}, and spans are sent with {_OURS} only",
            hint=f"set {_TRACES_PROTOCOL}={_OURS} and {_TRACES_ENDPOINT}=http://HOST:4318{_PATH}, "
            "or OTEL_TRACES_EXPORTER=none to send none",
        )


def _headers(texts: Mapping[str, str]) -> Mapping[str, str]:
    """Return headers from lists such as `api-key=abc,tenant=a%20b`; those of later lists override others."""
    found: dict[str, str] = {}
    for name, text in texts.items():
        for number, pair in enumerate(filter(None, (part.strip() for part in text.split(","))), start=1):
            header, equals, value = pair.partition("=")
            header, value = header.strip().lower(), unquote(value.strip())
            if not equals or not _NAME.fullmatch(header) or not (value.isascii() and value.isprintable()):
                raise ControlError(
                    f"entry {number} of {name} is not a header", hint="write it as NAME=VALUE,NAME=VALUE"
                )
            found[header] = value
    return found


def _resource(instance: str, environ: Mapping[str, str]) -> Mapping[str, str]:
    """Return the attributes of this instance; the environment overrides them."""
    found = {
        "service.name": "bateau",
        "service.version": __version__,
        "service.instance.id": f"{socket.gethostname()}/{instance}",
        "host.name": socket.gethostname(),
    }
    for pair in environ.get("OTEL_RESOURCE_ATTRIBUTES", "").split(","):
        name, equals, value = pair.partition("=")
        if equals and name.strip():
            found[name.strip()] = unquote(value.strip())
    if service := environ.get("OTEL_SERVICE_NAME"):
        found["service.name"] = service
    return found
