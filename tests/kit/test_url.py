"""URLs as people write them: a host that can be looked up and a port that can be connected to, or an error."""

import ipaddress
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bateau.kit.url import UrlError, parsed

HOSTS = st.sampled_from(
    ["api.example.org", "localhost", "127.0.0.1", "[::1]", "", "[::1", "-a", "a..b", "1.2.3", "ä.de"]
)
PORTS = st.sampled_from(["", ":1", ":65535", ":0", ":65536", ":abc", ":", ":1:2", "x"])


@given(HOSTS, PORTS, st.sampled_from(["", "/v1", "?q", "#f", " "]))
def test_an_accepted_url_has_a_usable_host_and_port(host: str, port: str, rest: str) -> None:
    try:
        url = parsed(f"https://{host}{port}{rest}")
    except UrlError:
        return
    assert url.port is None or 1 <= url.port <= 65535
    if ":" in url.host or re.fullmatch(r"[\d.]+", url.host):
        ipaddress.ip_address(url.host)
    else:
        url.host.encode("ascii")
        assert all(re.fullmatch(r"[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?", label) for label in url.host.split("."))


def test_an_error_does_not_repeat_a_password() -> None:
    with pytest.raises(UrlError) as caught:
        parsed("https://ada:hunter2@host:abc/v1")
    assert "hunter2" not in caught.value.says + caught.value.hint
