"""URLs, IPs and CIDRs in CEL are answered from their text alone."""

import socket

import pytest

from bateau.kit.cel import CelError, evaluate


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("url('https://example.org:80/a').getHostname()", "example.org"),
        ("isIP('localhost')", False),
        ("cidr('10.0.0.0/8').containsIP('10.1.2.3')", True),
    ],
)
def test_no_name_is_looked_up(expression: str, value: object, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object, **__: object) -> None:
        raise AssertionError("a name was looked up")

    for name in ("getaddrinfo", "gethostbyname", "gethostbyaddr", "socket"):
        monkeypatch.setattr(socket, name, refused)
    assert evaluate(expression, {}) == value
    with pytest.raises(CelError):
        evaluate("ip('localhost')", {})
