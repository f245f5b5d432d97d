"""Read `--listen`, and make sure that the port is free.

Called by cli.apply, cli.run, cli.up_options, wiring.local, wiring.lock and wiring.remote.
"""

import contextlib
import ipaddress
import socket
from collections.abc import Collection, Mapping

from bateau.domain.errors import ControlError

PORT_DEFAULT = 8080
LOOPBACK = "127.0.0.1"


def parse_listen(text: str) -> tuple[str, int]:
    """Return (address, port) of "8081", ":8081", "127.0.0.1:8081" or "[::1]:8081".

    Raises ControlError for anything else.

    >>> parse_listen(":9000"), parse_listen("[::1]:80"), parse_listen("localhost")
    (('127.0.0.1', 9000), ('::1', 80), ('127.0.0.1', 8080))
    """
    host, port_text = _split(text)
    if port_text and not (port_text.isdecimal() and 0 < int(port_text) < 2**16):
        raise ControlError(
            f"--listen {text}: the port must be a number from 1 to 65535", hint="write --listen 127.0.0.1:8080"
        )
    address = "127.0.0.1" if host in ("", "localhost") else host.strip("[]")
    try:
        ipaddress.ip_address(address)
    except ValueError:
        raise ControlError(
            f"--listen {text}: {host} is not an IP address of this machine", hint="write --listen 127.0.0.1:8080"
        ) from None
    return address, int(port_text) if port_text else PORT_DEFAULT


def is_loopback(address: str) -> bool:
    """Whether only this machine reaches an address.

    >>> is_loopback("127.1.2.3"), is_loopback("::1"), is_loopback("0.0.0.0")
    (True, True, False)
    """
    return ipaddress.ip_address(address).is_loopback


def _split(text: str) -> tuple[str, str]:
    if text.isdecimal():
        return "", text
    if text.startswith("["):
        host, _, rest = text.partition("]")
        return f"{host}]", rest.removeprefix(":")
    if text.count(":") > 1:
        return text, ""
    host, _, port = text.partition(":")
    return host, port


def check_port_free(address: str, port: int, *, but_for: Collection[int] = ()) -> None:
    """Raise ControlError, naming the process, if the port is taken by any process except those in `but_for`.

    Envoy itself would not notice: its sockets share their port (SO_REUSEPORT) with any other Envoy of the same user.
    """
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
            probe.listen(1)
        except PermissionError as error:
            raise ControlError(f"this user may not listen on port {port}", hint="use a port above 1023") from error
        except OSError as error:
            holders = _holders(port)
            if holders and holders.keys() <= set(but_for):
                return
            by = next((f" by {name} (pid {pid})" for pid, name in holders.items() if pid not in but_for), "")
            raise ControlError(
                f"port {port} on {address} is taken{by}",
                hint=f"stop that program, or use another port: --listen 127.0.0.1:{free_port()}",
            ) from error


def free_port() -> int:
    """Return a loopback port that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _holders(port: int) -> Mapping[int, str]:
    """Return the names of the processes that listen on a port by pid, as far as this user may see them."""
    import psutil

    found: dict[int, str] = {}
    with contextlib.suppress(psutil.Error):
        for connection in psutil.net_connections(kind="tcp"):
            listens = connection.status == psutil.CONN_LISTEN
            if listens and connection.laddr and connection.laddr.port == port and connection.pid:
                found[connection.pid] = psutil.Process(connection.pid).name()
    return found
