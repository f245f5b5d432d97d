"""`--listen`: every form of an address, and who has the port."""

import os
import socket
from collections.abc import Iterator

import pytest

from bateau.domain.errors import ControlError
from bateau.wiring.listen import check_port_free, free_port, parse_listen


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("8081", ("127.0.0.1", 8081)),
        (":8081", ("127.0.0.1", 8081)),
        ("127.0.0.1", ("127.0.0.1", 8080)),
        ("127.0.0.1:1", ("127.0.0.1", 1)),
        ("127.1.2.3:65535", ("127.1.2.3", 65535)),
        ("localhost:9000", ("127.0.0.1", 9000)),
        ("[::1]:9000", ("::1", 9000)),
        ("[::1]", ("::1", 8080)),
        ("::1", ("::1", 8080)),
        ("0.0.0.0:8443", ("0.0.0.0", 8443)),  # noqa: S104 - read, not listened on
        ("[2001:db8::1]:80", ("2001:db8::1", 80)),
    ],
)
def test_every_form_is_read(text: str, address: tuple[str, int]) -> None:
    assert parse_listen(text) == address


@pytest.mark.parametrize("text", ["0", "65536", "127.0.0.1:x", "127.0.0.1:-1", ":99999999999"])
def test_what_is_no_port_is_refused(text: str) -> None:
    with pytest.raises(ControlError, match="port must be a number from 1 to 65535"):
        parse_listen(text)


@pytest.mark.parametrize("text", ["example.com:80", "256.0.0.1", "not an address"])
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(ControlError, match="not an IP address"):
        parse_listen(text)


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(1)
        yield int(listener.getsockname()[1])


def test_a_taken_port_names_who_has_it_and_another_that_is_free(taken: int) -> None:
    with pytest.raises(ControlError) as caught:
        check_port_free("127.0.0.1", taken)
    assert f"port {taken} on 127.0.0.1 is taken by " in caught.value.message
    assert f"(pid {os.getpid()})" in caught.value.message
    assert caught.value.hint
    assert "--listen 127.0.0.1:" in caught.value.hint


def test_a_port_that_shares_itself_is_taken_all_the_same() -> None:
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        listener.bind(("127.0.0.1", 0))
        listener.listen(1)
        with pytest.raises(ControlError, match="is taken"):
            check_port_free("127.0.0.1", int(listener.getsockname()[1]))


def test_a_port_that_the_instances_own_gateway_has_is_free_for_it(taken: int) -> None:
    check_port_free("127.0.0.1", taken, but_for=[os.getpid()])
    with pytest.raises(ControlError, match="is taken by"):
        check_port_free("127.0.0.1", taken, but_for=[os.getpid() + 1])


def test_a_free_port_passes() -> None:
    check_port_free("127.0.0.1", free_port())
