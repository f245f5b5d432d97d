"""The Prometheus server that is named to `bateau up`.

Called by cli.up_options, wiring.charts and wiring.local.

Invariant: an address with a password is refused, because arguments can be seen by every user of a machine. Held by
tests/wiring/test_charts.py::test_an_address_with_a_password_is_refused_and_not_repeated.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlsplit

TOKEN_VARIABLE: Final = "BATEAU_PROMETHEUS_TOKEN"  # noqa: S105 - its name
_LABEL: Final = re.compile("[a-zA-Z_][a-zA-Z0-9_]*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """A server with the API of Prometheus, and the labels that the series of this instance have there."""

    url: str
    labels: Mapping[str, str] = field(default_factory=dict[str, str])
    token: str | None = field(default=None, repr=False)


def server_of(url: str | None, labels: Sequence[str]) -> Server | None:
    """Return the server of `--prometheus` and of `--prometheus-label NAME=VALUE`. Raises ValueError."""
    if url is None:
        if labels:
            raise ValueError("--prometheus-label needs --prometheus")
        return None
    parts = urlsplit(url)
    if parts.username is not None or parts.password is not None:
        raise ValueError(
            f"--prometheus must not contain a password, which every user of this machine can see; a bearer token is "
            f"taken from the variable {TOKEN_VARIABLE}"
        )
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        raise ValueError(f"--prometheus needs an address such as http://127.0.0.1:9090, and not {url}")
    found = dict[str, str]()
    for label in labels:
        name, equals, value = label.partition("=")
        if not equals or not _LABEL.fullmatch(name):
            raise ValueError(f"--prometheus-label needs NAME=VALUE, such as instance=127.0.0.1:8080, and not {label}")
        found[name] = value
    return Server(url=url, labels=found)
