"""A refused probe says where the program listens instead (A22)."""

import socket
from collections.abc import Generator
from contextlib import contextmanager

import pytest

from bateau.domain.process import ProbeTarget
from bateau.observe.listeners import listeners
from bateau.observe.probes import NetworkProber


@contextmanager
def listening(host: str, *, v6_only: bool = False) -> Generator[int]:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as listener:
        if v6_only:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        try:
            listener.bind((host, 0))
        except OSError:
            pytest.skip(f"{host} is not an address of this machine")
        listener.listen()
        yield int(listener.getsockname()[1])


@pytest.mark.parametrize(("host", "shown"), [("::1", "[::1]"), ("127.0.0.1", "127.0.0.1"), ("127.9.9.9", "127.9.9.9")])
def test_an_address_is_found_and_only_while_it_is_listened_on(host: str, shown: str) -> None:
    with listening(host) as port:
        assert listeners(port) == (shown,)
        with socket.create_connection((host, port)):
            assert listeners(port) == (shown,), "a connection is not a listener"
    assert listeners(port) == ()


@pytest.mark.parametrize("kind", ["http", "tcp", "grpc"])
@pytest.mark.parametrize(
    ("host", "v6_only", "where"),
    [("::1", False, "[::1]"), ("::", True, "[::]"), ("127.9.9.9", False, "127.9.9.9")],
)
async def test_a_program_that_listens_on_another_address_is_told_so(
    kind: str, host: str, v6_only: bool, where: str
) -> None:
    """A22."""
    with listening(host, v6_only=v6_only) as port:
        target = ProbeTarget(kind=kind, address=f"127.0.0.1:{port}")  # type: ignore[arg-type]
        answer = await NetworkProber().probe(target, 5.0)
    assert answer == f"connection refused: the program listens on {where}:{port}, and must listen on 127.0.0.1:{port}"
