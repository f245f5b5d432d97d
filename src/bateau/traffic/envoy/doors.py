"""Where Envoys reach the control channel: a unix socket on one machine, or a TCP port with mutual TLS in a cluster.

Called by traffic.envoy.ads, traffic.envoy.gateway and traffic.envoy.plane.

Invariant: nobody without a certificate of this installation gets any resource. Held by
tests/traffic/test_gateway.py::test_only_a_gateway_with_its_certificate_is_let_in.
"""

from pathlib import Path
from typing import Protocol

import grpc
import grpc.aio


class Door(Protocol):
    """An address of a gRPC server."""

    def add_to(self, server: grpc.aio.Server) -> None:
        """Let a server listen here, once it is started. Raises OSError or RuntimeError."""
        ...

    def opened(self) -> None:
        """Finish when the server listens. Raises OSError."""
        ...

    def closed(self) -> None:
        """Clean up after the server has stopped."""
        ...

    @property
    def is_lost(self) -> bool:
        """Whether another program has removed the address of an open server."""
        ...


class UnixDoor:
    """A unix socket that only its user can open."""

    def __init__(self, socket: Path) -> None:
        self._socket = socket

    def add_to(self, server: grpc.aio.Server) -> None:
        """Let a server listen on the socket; a former one is removed."""
        self._socket.unlink(missing_ok=True)
        server.add_insecure_port(f"unix:{self._socket}")

    def opened(self) -> None:
        """Let only its user open it."""
        self._socket.chmod(0o600)

    def closed(self) -> None:
        """Remove the socket."""
        self._socket.unlink(missing_ok=True)

    @property
    def is_lost(self) -> bool:
        """Whether another program has removed the socket."""
        return not self._socket.exists()


class TlsDoor:
    """A TCP port. Both sides show a certificate of the installation's own authority."""

    def __init__(self, address: str, credentials: grpc.ServerCredentials) -> None:
        self._address = address
        self._credentials = credentials

    def add_to(self, server: grpc.aio.Server) -> None:
        """Let a server listen on the port."""
        if server.add_secure_port(self._address, self._credentials) == 0:
            raise OSError(f"cannot listen on {self._address}")

    def opened(self) -> None:
        """Nothing remains to be done."""

    def closed(self) -> None:
        """Nothing is left."""

    @property
    def is_lost(self) -> bool:
        """No other program can remove a port."""
        return False
