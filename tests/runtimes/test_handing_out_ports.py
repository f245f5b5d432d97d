"""Each loopback port belongs to one replica, and stays with it."""

import socket

import pytest

from bateau.runtimes.local.ports import PORT_MAX, PORT_MIN, LoopbackPorts


def test_no_port_is_given_twice() -> None:
    ports = LoopbackPorts("test")
    given = [port for n in range(20) for port in ports.hand_out(f"a.{n}", ["x", "y"], preferred={}).values()]
    assert len(set(given)) == 40
    assert all(PORT_MIN <= port <= PORT_MAX for port in given)


def test_a_replica_gets_its_ports_again_while_they_are_free() -> None:
    ports = LoopbackPorts("test")
    first = ports.hand_out("a", ["x", "y"], preferred={})
    assert ports.hand_out("a", ["x", "y"], preferred=first) == first
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", first["x"]))
        taken.listen()
        other = ports.hand_out("a", ["x", "y"], preferred=first)
    assert other["x"] != first["x"]
    assert other["y"] == first["y"]


@pytest.mark.parametrize("address", ["127.0.0.1", "0.0.0.0"])  # noqa: S104 - a port taken on all addresses, on purpose
def test_a_port_that_somebody_listens_on_is_passed_over(address: str) -> None:
    expected = LoopbackPorts("test").hand_out("a", ["x"], preferred={})["x"]
    with socket.socket() as taken:
        taken.bind((address, expected))
        taken.listen()
        assert LoopbackPorts("test").hand_out("a", ["x"], preferred={})["x"] != expected


def test_ports_of_an_adopted_replica_are_its_own_until_they_are_released() -> None:
    ports = LoopbackPorts("test")
    port = LoopbackPorts("test").hand_out("a", ["x"], preferred={})["x"]
    ports.reserve("old", {"x": port})
    assert ports.hand_out("new", ["x"], preferred={"x": port})["x"] != port
    ports.release("old")
    assert ports.hand_out("new", ["x"], preferred={"x": port})["x"] == port
